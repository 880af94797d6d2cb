package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/web/webtest"
)

// Every attempt to write or to escape, through the API over a session as it is:
// what PostgreSQL says of each is in the list. In a scratch session the page's
// role is a superuser; what it may do there ends at the sandbox, and its
// transaction is read-only all the same.
func TestAttemptsThroughTheAPI(t *testing.T) {
	needsPostgres(t, "15")
	ref := plainBackup(t)
	snapshottest.Untouched(t, filepath.Dir(ref))
	const escaped = "/tmp/escaped-by-the-page"
	for _, mode := range []string{"standby", "scratch"} {
		t.Run(mode, func(t *testing.T) {
			args := []string{"open", ref, "--runner", "local", "--db", "postgres"}
			if mode == "scratch" {
				args = append(args, "--writable")
			}
			ready := start(t, stateDir(t), args...).untilReady()
			url, id := ready["psql"].(string), ready["id"].(string)
			b := login(t, ready["url"].(string))
			state := func() string {
				return ask(t, url, `select concat_ws(',', (select count(*) from ev), (select sum(balance) from acct), (select string_agg(rolname || rolsuper, ' ' order by rolname) from pg_roles),
					(select count(*) from pg_class where oid >= 16384), (select count(*) from pg_largeobject_metadata), (select last_value from ev_id_seq))`)
			}
			before := state()
			attempts, err := webtest.Attempts("public.acct", "balance", "public.ev_id_seq", escaped)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range attempts {
				if a.Demo {
					continue
				}
				want := a.OnStandby()
				if mode == "scratch" {
					want = a.InScratch()
				}
				if got := b.refusal(id, a.SQL); got != want {
					t.Errorf("%q: refused by %q, want %q", a.SQL, got, want)
				}
			}
			if after := state(); after != before {
				t.Errorf("the database is now\n%s\nand was\n%s", after, before)
			}
			if _, err := os.Stat(escaped); err == nil {
				t.Error("a statement wrote a file on the host")
			}
		})
	}
}

// refusal runs a statement and says by what it was refused: a SQLSTATE, or a
// code of the API; empty if it ran.
func (b *browser) refusal(session, sql string) string {
	b.t.Helper()
	body, err := json.Marshal(map[string]any{"sql": sql, "timeoutSeconds": 60})
	if err != nil {
		b.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.api+"/sessions/"+session+"/databases/postgres/query", bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("X-Snapview", "1")
	req.Header.Set("Content-Type", "application/json")
	res, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	var last []byte
	for lines := bufio.NewReader(res.Body); ; {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			last = line
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	var frame struct {
		End *struct {
			Error *struct{ Code, SQLState string }
		}
	}
	if err := json.Unmarshal(last, &frame); err != nil || frame.End == nil {
		b.t.Fatalf("%q: %s, no end: %v in %.300s", sql, res.Status, err, last)
	}
	switch e := frame.End.Error; {
	case e == nil:
		return ""
	case e.SQLState != "":
		return e.SQLState
	default:
		return e.Code
	}
}
