package attach

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseMounts(t *testing.T) {
	table := `23 28 0:22 / /proc rw,relatime shared:12 - proc proc rw
36 35 7:3 / /srv/a\040b/mnt rw,noatime - ext4 /dev/loop3 rw,discard
37 36 0:58 / /srv/fuse rw master:1 propagate_from:2 - fuse.snapview snapview-0123 rw
`
	got, err := parseMounts(strings.NewReader(table))
	if err != nil {
		t.Fatal(err)
	}
	want := []mountEntry{
		{23, unix.Mkdev(0, 22), "/proc", "proc", "proc"},
		{36, unix.Mkdev(7, 3), "/srv/a b/mnt", "ext4", "/dev/loop3"},
		{37, unix.Mkdev(0, 58), "/srv/fuse", "fuse.snapview", "snapview-0123"},
	}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d: got %+v, want %+v", i+1, got[i], want[i])
		}
	}
	for _, bad := range []string{"x", "1 2 3 / / rw - ext4", "1 2 a:b / / rw - ext4 x rw", "1 2 3:4 / / rw"} {
		if _, err := parseMountLine(bad); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
}

func FuzzParseMountLine(f *testing.F) {
	f.Add(`36 35 7:3 / /srv/a\040b/mnt rw,noatime shared:1 - ext4 /dev/loop3 rw`)
	f.Add(`36 35 7:3 / /\ rw - a \0`)
	f.Fuzz(func(_ *testing.T, line string) { _, _ = parseMountLine(line) })
}

func TestActiveScheduler(t *testing.T) {
	for in, want := range map[string]string{
		"none [mq-deadline] bfq": "mq-deadline", "[none] kyber": "none", "noop": "noop", "": "",
	} {
		if got := activeScheduler(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestParseMethod(t *testing.T) {
	for _, m := range []Method{Auto, NBD, FUSE} {
		if got, err := ParseMethod(string(m)); err != nil || got != m {
			t.Errorf("%s: %s, %v", m, got, err)
		}
	}
	if _, err := ParseMethod("iscsi"); err == nil {
		t.Error("iscsi is a method")
	}
}

// script is a server that reads nothing and says what it was told to.
type script struct {
	io.Reader
	sent bytes.Buffer
}

func (s *script) Write(p []byte) (int, error) { return s.sent.Write(p) }

var be = binary.BigEndian

func hello(flags uint16) []byte {
	b := be.AppendUint64(nil, 0x4e42444d41474943)
	b = be.AppendUint64(b, 0x49484156454F5054)
	return be.AppendUint16(b, flags)
}

func reply(kind uint32, data []byte) []byte {
	b := be.AppendUint64(nil, 0x3e889045565a9)
	b = be.AppendUint32(b, 7)
	b = be.AppendUint32(b, kind)
	b = be.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

func info(size uint64, flags uint16) []byte {
	b := be.AppendUint16(nil, 0)
	b = be.AppendUint64(b, size)
	return reply(3, be.AppendUint16(b, flags))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestHandshake(t *testing.T) {
	blockSize := reply(3, append([]byte{0, 3}, make([]byte, 12)...))
	for name, c := range map[string]struct {
		server []byte
		want   nbdExport
		bad    string // part of the error
	}{
		"plain":          {join(hello(3), info(1<<30, 0x16d), reply(1, nil)), nbdExport{1 << 30, 0x16d}, ""},
		"more to say":    {join(hello(1), blockSize, info(4096, 1), reply(3, []byte{0, 99}), reply(1, nil)), nbdExport{4096, 1}, ""},
		"flags unsaid":   {join(hello(3), info(4096, 0), reply(1, nil)), nbdExport{4096, 1}, ""},
		"no such export": {join(hello(3), reply(6|1<<31, []byte("gone"))), nbdExport{}, `no such export ("gone")`},
		"TLS":            {join(hello(3), reply(5|1<<31, nil)), nbdExport{}, "TLS required"},
		"oldstyle":       {join(be.AppendUint64(nil, 0x4e42444d41474943), make([]byte, 200)), nbdExport{}, "fixed newstyle"},
		"not fixed":      {hello(2), nbdExport{}, "fixed newstyle"},
		"something else": {bytes.Repeat([]byte("HTTP/1.1 "), 9), nbdExport{}, "fixed newstyle"},
		"no size":        {join(hello(3), reply(1, nil)), nbdExport{}, "size"},
		"huge size":      {join(hello(3), info(1<<63, 1), reply(1, nil)), nbdExport{}, "size"},
		"huge reply":     {join(hello(3), reply(3, make([]byte, maxHandshakeReply+1))), nbdExport{}, "reply of 65537 bytes"},
		"cut short":      {join(hello(3), info(4096, 1))[:30], nbdExport{}, "EOF"},
		"endless":        {join(hello(3), bytes.Repeat(reply(3, []byte{0, 1}), 2000)), nbdExport{}, "without end"},
	} {
		s := &script{Reader: bytes.NewReader(c.server)}
		got, err := handshake(s, "demo")
		if c.bad != "" {
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("%s: error %v, want %q in it", name, err, c.bad)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, c.want)
		}
		want := join([]byte{0, 0, 0, c.server[17] & 3}, []byte("IHAVEOPT"), []byte{0, 0, 0, 7, 0, 0, 0, 10, 0, 0, 0, 4}, []byte("demo"), []byte{0, 0})
		if !bytes.Equal(s.sent.Bytes(), want) {
			t.Errorf("%s: sent %x, want %x", name, s.sent.Bytes(), want)
		}
	}
}

func FuzzHandshake(f *testing.F) {
	f.Add(join(hello(3), info(1<<30, 0x16d), reply(1, nil)))
	f.Add(join(hello(3), reply(6|1<<31, []byte("gone"))))
	f.Fuzz(func(t *testing.T, server []byte) {
		e, err := handshake(&script{Reader: bytes.NewReader(server)}, "x")
		if err == nil && e.size < 0 {
			t.Errorf("size %d", e.size)
		}
	})
}

// fakeConn serves a script as a net.Conn.
type fakeConn struct {
	script
	closed *int
}

func (c *fakeConn) Close() error                     { *c.closed++; return nil }
func (c *fakeConn) LocalAddr() net.Addr              { return nil }
func (c *fakeConn) RemoteAddr() net.Addr             { return nil }
func (c *fakeConn) SetDeadline(time.Time) error      { return nil }
func (c *fakeConn) SetReadDeadline(time.Time) error  { return nil }
func (c *fakeConn) SetWriteDeadline(time.Time) error { return nil }

func TestNegotiate(t *testing.T) {
	server := func(size uint64, flags uint16) []byte { return join(hello(3), info(size, flags), reply(1, nil)) }
	for name, c := range map[string]struct {
		servers [][]byte
		conns   int // 0: an error
	}{
		"several":      {[][]byte{server(4096, 0x101), server(4096, 0x101), server(4096, 0x101)}, 3},
		"one only":     {[][]byte{server(4096, 1)}, 1},
		"sizes differ": {[][]byte{server(4096, 0x101), server(8192, 0x101)}, 0},
		"second fails": {[][]byte{server(4096, 0x101), hello(0)}, 0},
		"dial fails":   {[][]byte{server(4096, 0x101)}, 0},
	} {
		dialled, closed := 0, 0
		conns, _, err := negotiate(func() (net.Conn, error) {
			if dialled == len(c.servers) {
				return nil, errors.New("nobody listens")
			}
			dialled++
			return &fakeConn{script{Reader: bytes.NewReader(c.servers[dialled-1])}, &closed}, nil
		}, "x", 3)
		if len(conns) != c.conns || (err == nil) != (c.conns > 0) {
			t.Errorf("%s: %d connections, %v", name, len(conns), err)
		}
		if err != nil && closed != dialled {
			t.Errorf("%s: %d connections dialled, %d closed", name, dialled, closed)
		}
	}
}

func TestCheckHost(t *testing.T) {
	for _, c := range CheckHost() {
		if c.Name == "" || c.Detail == "" || (c.OK == (c.Remedy != "")) {
			t.Errorf("incomplete: %+v", c)
		}
	}
	if s := Supported(); len(s) != 2 || s[0].Method != NBD || s[1].Method != FUSE || s[0].Reason == "" || s[1].Reason == "" {
		t.Errorf("got %+v", s)
	}
}
