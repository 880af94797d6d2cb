package pgwatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// A talk is a connection of which a test writes both sides.
type talk struct {
	t   *testing.T
	w   *Watch
	log []Statement
	err error
	// piece is how many bytes are handed over at once; 0 for all.
	piece int
}

func newTalk(t *testing.T) *talk {
	k := &talk{t: t}
	k.w = New(func(st Statement) { k.log = append(k.log, st) })
	return k
}

func (k *talk) feed(to func([]byte) error, b []byte) {
	for len(b) > 0 && k.err == nil {
		n := len(b)
		if k.piece > 0 {
			n = min(n, k.piece)
		}
		k.err = to(b[:n])
		b = b[n:]
	}
}

func (k *talk) client(messages ...pgproto3.FrontendMessage) {
	k.t.Helper()
	for _, m := range messages {
		b, err := m.Encode(nil)
		if err != nil {
			k.t.Fatal(err)
		}
		k.feed(k.w.Client, b)
	}
}

func (k *talk) server(messages ...pgproto3.BackendMessage) {
	k.t.Helper()
	for _, m := range messages {
		b, err := m.Encode(nil)
		if err != nil {
			k.t.Fatal(err)
		}
		k.feed(k.w.Server, b)
	}
}

// login says what comes before the first statement.
func (k *talk) login() {
	k.client(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "reader", "database": "shop", "application_name": "report"}})
	k.server(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}})
	k.client(&pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: []byte("secret")})
	k.server(&pgproto3.AuthenticationOk{}, &pgproto3.ParameterStatus{Name: "application_name", Value: "report"},
		&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 2}}, ready)
}

var ready = &pgproto3.ReadyForQuery{TxStatus: 'I'}

func tag(s string) *pgproto3.CommandComplete { return &pgproto3.CommandComplete{CommandTag: []byte(s)} }

func row(bytes int) *pgproto3.DataRow {
	return &pgproto3.DataRow{Values: [][]byte{make([]byte, bytes)}}
}

func refusal(state, message string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: state, Message: message}
}

// want holds the log against lines of SQL, rows and state.
func (k *talk) want(lines ...string) {
	k.t.Helper()
	var have []string
	for _, st := range k.log {
		line := fmt.Sprintf("%s | %d", st.SQL, st.Rows)
		if st.SQLState != "" {
			line += " | " + st.SQLState
		}
		if st.Ended {
			line += " | ended"
		}
		have = append(have, line)
	}
	if got, want := strings.Join(have, "\n"), strings.Join(lines, "\n"); got != want {
		k.t.Errorf("the log is\n%s\n-- want\n%s", got, want)
	}
	if k.err != nil {
		k.t.Errorf("cut: %v", k.err)
	}
}

// Each conversation is held whole and byte by byte.
func conversations(t *testing.T, talks map[string]func(k *talk)) {
	for name, talk := range talks {
		for _, piece := range []int{0, 1, 7} {
			t.Run(fmt.Sprintf("%s/%d", name, piece), func(t *testing.T) {
				k := newTalk(t)
				k.piece = piece
				talk(k)
			})
		}
	}
}

func TestStatements(t *testing.T) {
	conversations(t, map[string]func(k *talk){
		"simple": func(k *talk) {
			k.login()
			k.client(&pgproto3.Query{String: "select 1"})
			k.server(&pgproto3.RowDescription{}, row(10), row(10), tag("SELECT 2"), ready)
			k.client(&pgproto3.Query{String: "insert into t values (1); select 1; show x"})
			k.server(tag("INSERT 0 4"), row(1), tag("SELECT 1"), row(1), tag("SHOW"), ready)
			k.client(&pgproto3.Query{String: ""})
			k.server(&pgproto3.EmptyQueryResponse{}, ready)
			k.client(&pgproto3.Query{String: "select 1/0"})
			k.server(row(1), refusal("22012", "division by zero"), ready)
			k.w.End(nil)
			k.want("select 1 | 2", "insert into t values (1); select 1; show x | 6", " | 0", "select 1/0 | 1 | 22012")
			if len(k.log) < 4 {
				return
			}
			st := k.log[0]
			if st.Role != "reader" || st.Database != "shop" || st.Application != "report" || st.Kind != KindQuery || st.Bytes != 63 || st.Time.IsZero() || st.Took < 0 || k.log[1].Commands != 3 {
				k.t.Errorf("%+v", st)
			}
			if got := k.log[3].Failure; got != "ERROR: division by zero (SQLSTATE 22012)" {
				k.t.Errorf("failure %q", got)
			}
		},
		"prepared": func(k *talk) {
			k.login()
			k.client(&pgproto3.Parse{Name: "s", Query: "select $1"}, &pgproto3.Describe{ObjectType: 'S', Name: "s"}, &pgproto3.Sync{})
			k.server(&pgproto3.ParseComplete{}, &pgproto3.ParameterDescription{}, &pgproto3.RowDescription{}, ready)
			for range 2 {
				k.client(&pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Sync{})
				k.server(&pgproto3.BindComplete{}, row(1), tag("SELECT 1"), ready)
			}
			// A portal that is read in parts.
			k.client(&pgproto3.Bind{DestinationPortal: "p", PreparedStatement: "s"}, &pgproto3.Execute{Portal: "p", MaxRows: 2}, &pgproto3.Execute{Portal: "p", MaxRows: 2},
				&pgproto3.Close{ObjectType: 'P', Name: "p"}, &pgproto3.Close{ObjectType: 'S', Name: "s"}, &pgproto3.Sync{})
			k.server(&pgproto3.BindComplete{}, row(1), row(1), &pgproto3.PortalSuspended{}, row(1), tag("SELECT 1"), &pgproto3.CloseComplete{}, &pgproto3.CloseComplete{}, ready)
			k.client(&pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Sync{})
			k.server(refusal("26000", "no such statement"), ready)
			k.want("select $1 | 1", "select $1 | 1", "select $1 | 2", "select $1 | 1", `(prepared statement "s" of this connection) | 0 | 26000`)
		},
		"a name that is taken": func(k *talk) {
			k.login()
			k.client(&pgproto3.Parse{Name: "s", Query: "select secret"}, &pgproto3.Sync{}, &pgproto3.Parse{Name: "s", Query: "select 1"}, &pgproto3.Sync{},
				&pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Sync{})
			k.server(&pgproto3.ParseComplete{}, ready, refusal("42P05", "taken"), ready, &pgproto3.BindComplete{}, tag("SELECT 7"), ready)
			k.want("select 1 | 0 | 42P05", "select secret | 7")
		},
		"names that SQL gives": func(k *talk) {
			k.login()
			k.client(&pgproto3.Parse{Name: "s", Query: "select 1"}, &pgproto3.Sync{}, &pgproto3.Query{String: "deallocate s; prepare s as select secret"},
				&pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Bind{PreparedStatement: "sql"}, &pgproto3.Execute{}, &pgproto3.Sync{},
				&pgproto3.Query{String: "discard all"}, &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Sync{})
			k.server(&pgproto3.ParseComplete{}, ready, tag("DEALLOCATE"), tag("PREPARE"), ready, &pgproto3.BindComplete{}, tag("SELECT 1"),
				&pgproto3.BindComplete{}, tag("SELECT 1"), ready, tag("DISCARD ALL"), ready, &pgproto3.BindComplete{}, tag("SELECT 1"), ready)
			k.want("deallocate s; prepare s as select secret | 0", doubted+"select 1 | 1", `(prepared statement "sql" of this connection) | 1`,
				"discard all | 0", `(prepared statement "s" of this connection) | 1`)
		},
		"a pipeline that fails": func(k *talk) {
			k.login()
			run := func(sql string) {
				k.client(&pgproto3.Parse{Query: sql}, &pgproto3.Bind{}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{})
			}
			run("one")
			run("two")
			run("skipped")
			k.server(&pgproto3.ParseComplete{}, &pgproto3.BindComplete{}, &pgproto3.NoData{}, tag("SELECT 1"), &pgproto3.ParseComplete{}, &pgproto3.BindComplete{}, refusal("22012", "no"))
			run("skipped too")
			k.client(&pgproto3.Query{String: "skipped as well"}, &pgproto3.Sync{})
			run("three")
			k.client(&pgproto3.Sync{})
			k.server(ready, &pgproto3.ParseComplete{}, &pgproto3.BindComplete{}, &pgproto3.NoData{}, tag("SELECT 3"), ready)
			k.want("one | 1", "two | 0 | 22012", "three | 3")
		},
		"before the server has answered the login": func(k *talk) {
			k.client(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "reader"}})
			k.client(&pgproto3.PasswordMessage{Password: "x"}, &pgproto3.Query{String: "early"})
			k.server(&pgproto3.AuthenticationOk{}, ready, tag("SELECT 1"), ready)
			k.want("early | 1")
			if len(k.log) > 0 && k.log[0].Database != "reader" {
				k.t.Errorf("%+v", k.log[0])
			}
		},
		"a stranger": func(k *talk) {
			k.client(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "reader"}})
			k.client(&pgproto3.PasswordMessage{Password: "x"}, &pgproto3.Query{String: "early"})
			k.server(refusal("28P01", "wrong password"))
			k.w.End(nil)
			k.want()
		},
		"encryption is declined": func(k *talk) {
			k.client(&pgproto3.SSLRequest{})
			k.feed(k.w.Server, []byte("N"))
			k.client(&pgproto3.GSSEncRequest{})
			k.feed(k.w.Server, []byte("N"))
			k.login()
			k.client(&pgproto3.Query{String: "set application_name to other"})
			k.server(&pgproto3.ParameterStatus{Name: "application_name", Value: "other"}, tag("SET"), ready)
			k.want("set application_name to other | 0")
			if len(k.log) > 0 && k.log[0].Application != "other" {
				k.t.Errorf("%+v", k.log[0])
			}
		},
		"the end comes first": func(k *talk) {
			k.login()
			k.client(&pgproto3.Query{String: "one"}, &pgproto3.Query{String: "two"})
			k.server(row(1), row(1))
			k.w.End(nil)
			k.want("one | 2 | ended", "two | 0 | ended")
		},
		"a cut": func(k *talk) {
			k.login()
			k.client(&pgproto3.Query{String: "one"})
			k.w.End(errLost)
			k.want("one | 0 | ended", "(the connection) | 0")
		},
		"COPY out": func(k *talk) {
			k.login()
			k.client(&pgproto3.Query{String: "copy t to stdout"})
			k.server(&pgproto3.CopyOutResponse{}, &pgproto3.CopyData{Data: make([]byte, 995)}, &pgproto3.CopyDone{}, tag("COPY 9"), ready)
			k.want("copy t to stdout | 9")
			if len(k.log) > 0 && (k.log[0].Bytes < 1000 || k.log[0].Bytes > 1100) {
				k.t.Errorf("%+v", k.log[0])
			}
		},
		"COPY in": func(k *talk) {
			k.login()
			k.client(&pgproto3.Query{String: "copy t from stdin"})
			k.server(&pgproto3.CopyInResponse{})
			k.client(&pgproto3.CopyData{Data: make([]byte, 100)}, &pgproto3.CopyDone{})
			k.server(tag("COPY 3"), ready)
			// As libpq does it with parameters: a Sync that is ignored, and one at the end.
			k.client(&pgproto3.Parse{Query: "copy u from stdin"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{})
			k.server(&pgproto3.ParseComplete{}, &pgproto3.BindComplete{}, &pgproto3.CopyInResponse{})
			k.client(&pgproto3.CopyData{Data: make([]byte, 100)}, &pgproto3.Sync{}, &pgproto3.CopyDone{}, &pgproto3.Sync{})
			k.server(tag("COPY 4"), ready)
			k.client(&pgproto3.Query{String: "copy v from stdin"})
			k.server(&pgproto3.CopyInResponse{}, refusal("22P02", "bad"))
			k.client(&pgproto3.CopyDone{})
			k.server(ready)
			k.client(&pgproto3.Query{String: "after"})
			k.server(tag("SELECT 1"), ready)
			k.want("copy t from stdin | 3", "copy u from stdin | 4", "copy v from stdin | 0 | 22P02", "after | 1")
			if len(k.log) > 1 && (k.log[0].BytesIn != 100 || k.log[1].BytesIn != 100) {
				k.t.Errorf("%+v", k.log)
			}
		},
		"functions": func(k *talk) {
			k.login()
			call := func(oid uint32, args ...uint32) {
				m := &pgproto3.FunctionCall{Function: oid, ArgFormatCodes: []uint16{1}}
				for _, a := range args {
					m.Arguments = append(m.Arguments, binary.BigEndian.AppendUint32(nil, a))
				}
				k.client(m)
				k.server(&pgproto3.FunctionCallResponse{Result: make([]byte, 8)}, ready)
			}
			call(952, 16401, 1<<18)
			for range 3 {
				call(954, 0, 8192)
			}
			call(953, 0)
			k.w.End(nil)
			k.want("lo_open(16401, 262144) | 0", "loread(0, 8192) | 0", "lo_close(0) | 0")
			if len(k.log) > 1 && (k.log[1].Commands != 3 || k.log[1].Bytes < 24 || k.log[1].Kind != KindFunction) {
				k.t.Errorf("%+v", k.log[1])
			}
		},
		"the transaction fails in the end": func(k *talk) {
			k.login()
			k.client(&pgproto3.Parse{Query: "insert"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{})
			k.server(&pgproto3.ParseComplete{}, &pgproto3.BindComplete{}, tag("INSERT 0 1"), refusal("23503", "deferred"), ready)
			k.client(&pgproto3.Query{String: "after"})
			k.server(tag("SELECT 1"), ready)
			k.want("insert | 1", "(end of an implicit transaction) | 0 | 23503", "after | 1")
		},
	})
}

// What cannot be followed is cut.
func TestCuts(t *testing.T) {
	for name, c := range map[string]struct {
		why  error
		talk func(k *talk)
	}{
		"TLS": {errEncrypted, func(k *talk) {
			k.client(&pgproto3.SSLRequest{})
			k.feed(k.w.Server, []byte("S"))
		}},
		"TLS without a request": {errFraming, func(k *talk) { k.feed(k.w.Client, []byte("\x16\x03\x01\x02\x00\x01")) }},
		"protocol 2":            {errProtocol, func(k *talk) { k.feed(k.w.Client, []byte("\x00\x00\x01\x28\x00\x02\x00\x00"+strings.Repeat("x", 288))) }},
		"a short length":        {errFraming, func(k *talk) { k.login(); k.feed(k.w.Client, []byte("Q\x00\x00\x00\x03")) }},
		"a negative length":     {errFraming, func(k *talk) { k.login(); k.feed(k.w.Client, []byte("Q\xff\xff\xff\xff")) }},
		"an answer to nothing":  {errLost, func(k *talk) { k.login(); k.server(tag("SELECT 1")) }},
		"a query into a COPY": {errCopy, func(k *talk) {
			k.login()
			k.client(&pgproto3.Query{String: "copy t from stdin"}, &pgproto3.Query{String: "x"})
			k.server(&pgproto3.CopyInResponse{})
		}},
		"a stranger who says much": {errTooMuch, func(k *talk) {
			k.client(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{}})
			for range 20 {
				k.client(&pgproto3.Query{String: strings.Repeat("x", MaxText)})
			}
		}},
		"much that is prepared": {errTooMuch, func(k *talk) {
			k.login()
			for i := range maxNames + 1 {
				k.client(&pgproto3.Parse{Name: fmt.Sprint(i)})
				k.server(&pgproto3.ParseComplete{})
			}
		}},
		"more after a request to cancel": {errFraming, func(k *talk) {
			k.client(&pgproto3.CancelRequest{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}}, &pgproto3.SSLRequest{})
		}},
	} {
		k := newTalk(t)
		c.talk(k)
		if !errors.Is(k.err, c.why) {
			t.Errorf("%s: %v, want %v", name, k.err, c.why)
		}
	}
}

// A message may announce what it likes: nothing is kept for it before it comes,
// and of a text no more than its beginning.
func TestLongMessages(t *testing.T) {
	k := newTalk(t)
	k.login()
	k.feed(k.w.Client, []byte("Q\x7f\xff\xff\xff"))
	piece := []byte(strings.Repeat("äb", 500_000))
	for range 20 {
		k.feed(k.w.Client, piece)
	}
	if got := cap(k.w.client.text[0]); got > 2*maxTextBytes {
		t.Errorf("%d bytes are held", got)
	}
	k = newTalk(t)
	k.login()
	k.client(&pgproto3.Parse{Name: strings.Repeat("n", 1<<20), Query: strings.Repeat("ä", MaxText+5)}, &pgproto3.Bind{PreparedStatement: strings.Repeat("n", 1<<19)}, &pgproto3.Execute{}, &pgproto3.Sync{})
	k.server(&pgproto3.ParseComplete{}, &pgproto3.BindComplete{}, tag("SELECT 1"), ready)
	k.want(strings.Repeat("ä", MaxText) + "… | 1")
}

// A client that runs ahead waits for the server, and goes on at the end at the latest.
func TestWaiting(t *testing.T) {
	k := newTalk(t)
	k.login()
	for range maxAhead {
		k.client(&pgproto3.Sync{})
	}
	went := make(chan error)
	go func() { went <- k.w.Client([]byte("S\x00\x00\x00\x04")) }()
	select {
	case <-went:
		t.Error("it did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	k.server(ready)
	if err := <-went; err != nil {
		t.Error(err)
	}
	go func() { went <- k.w.Client([]byte("S\x00\x00\x00\x04")) }()
	k.w.Stop()
	if err := <-went; err != nil {
		t.Error(err)
	}
}

// FuzzWatch hands both sides whatever comes, in pieces: odd pieces to the client,
// even ones to the server. Nothing may panic, and nothing be kept without bounds.
func FuzzWatch(f *testing.F) {
	login, err := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "u"}}).Encode(nil)
	if err != nil {
		f.Fatal(err)
	}
	add := func(pieces ...string) {
		var b []byte
		for _, p := range pieces {
			b = append(append(b, byte(len(p))), p...)
		}
		f.Add(b)
	}
	ok := "R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"
	add(string(login), ok, "Q\x00\x00\x00\x06x\x00", "C\x00\x00\x00\x0dSELECT 1\x00Z\x00\x00\x00\x05I")
	add(string(login), ok, "P\x00\x00\x00\x09a\x00b\x00\x00\x00B\x00\x00\x00\x0c\x00a\x00\x00\x00\x00\x00\x00E\x00\x00\x00\x09\x00\x00\x00\x00\x00S\x00\x00\x00\x04", "1\x00\x00\x00\x042\x00\x00\x00\x04s\x00\x00\x00\x04Z\x00\x00\x00\x05I")
	add(string(login), ok, "F\x00\x00\x00\x14\x00\x00\x03\xb8\x00\x01\x00\x01\x00\x01\x00\x00\x00\x04", "V\x00\x00\x00\x04Z\x00\x00\x00\x05I")
	add(string(login), ok, "Q\x00\x00\x00\x06x\x00d\x00\x00\x00\x04c\x00\x00\x00\x04", "G\x00\x00\x00\x04E\x00\x00\x00\x06C1")
	add("\x00\x00\x00\x08\x04\xd2\x16\x2f", "N")
	f.Fuzz(func(t *testing.T, b []byte) {
		w := New(func(st Statement) {
			if len(st.SQL) > maxTextBytes+len(doubted)+100 {
				t.Errorf("%d bytes of text", len(st.SQL))
			}
		})
		var cut error
		for i := 0; len(b) > 0 && cut == nil; i++ {
			n := min(int(b[0]), len(b)-1)
			piece := bytes.Clone(b[1 : 1+n])
			b = b[1+n:]
			if w.waiting() >= maxAhead {
				w.Stop()
			}
			if i%2 == 0 {
				cut = w.Client(piece)
			} else {
				cut = w.Server(piece)
			}
		}
		held := 0
		for _, in := range []map[string]string{w.statements, w.portals} {
			for _, text := range in {
				held += len(text)
			}
		}
		for _, it := range w.items[w.first:] {
			held += len(it.text)
		}
		if held != w.held {
			t.Errorf("%d bytes are held, %d counted", held, w.held)
		}
		w.End(cut)
	})
}
