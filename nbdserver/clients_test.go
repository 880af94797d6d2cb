package nbdserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/testneeds"
)

// The tests of this file run other people's clients: libnbd's nbdinfo,
// nbdcopy and nbdsh, qemu's tools, fio.

// tool runs a client and returns what it printed.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testneeds.Tool(t, name), args...)
	// nbdsh takes the first python3 of PATH, and libnbd's module belongs to
	// the system's.
	cmd.Env = append(os.Environ(), "PATH=/usr/bin:/bin:"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// serveURI serves the exports on a unix socket and returns the URI of one.
func serveURI(t *testing.T, o Options, scheme, export string, exports ...Export) string {
	t.Helper()
	_, dial := serveDevices(t, o, exports...)
	nc := dial()
	defer nc.Close()
	return fmt.Sprintf("%s+unix:///%s?socket=%s", scheme, export, nc.RemoteAddr())
}

// image is a sparse disk: data, then a hole, then data.
func image(t *testing.T) (*block.Memory, []byte) {
	t.Helper()
	const size = 8 << 20
	want := make([]byte, size)
	rnd := rand.NewChaCha8([32]byte{7})
	rnd.Read(want[:2<<20])
	rnd.Read(want[6<<20:])
	m := block.NewMemory(size)
	for _, part := range [][2]int{{0, 2 << 20}, {6 << 20, size}} {
		if _, err := m.WriteAt(want[part[0]:part[1]], int64(part[0])); err != nil {
			t.Fatal(err)
		}
	}
	return m, want
}

func contents(t *testing.T, r block.Reader) []byte {
	t.Helper()
	b := make([]byte, r.Size())
	if _, err := r.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNbdinfo_ShowsExportsAndMaps(t *testing.T) {
	m, _ := image(t)
	uri := serveURI(t, Options{}, "nbd", "", Export{Description: "the session", Device: m},
		Export{Name: "ro", Device: block.NewMemory(4096), ReadOnly: true})
	var info struct {
		Exports []struct {
			Name        string `json:"export-name"`
			Description string
			Contexts    []string
			ReadOnly    bool  `json:"is_read_only"`
			Multi       bool  `json:"can_multi_conn"`
			Cache       bool  `json:"can_cache"`
			DF          bool  `json:"can_df"`
			FastZero    bool  `json:"can_fast_zero"`
			Flush       bool  `json:"can_flush"`
			FUA         bool  `json:"can_fua"`
			Trim        bool  `json:"can_trim"`
			Zero        bool  `json:"can_zero"`
			Size        int64 `json:"export-size"`
			Min         int64 `json:"block_size_minimum"`
			Preferred   int64 `json:"block_size_preferred"`
			Max         int64 `json:"block_size_maximum"`
		}
	}
	if err := json.Unmarshal([]byte(tool(t, "nbdinfo", "--json", "--list", uri)), &info); err != nil {
		t.Fatal(err)
	}
	if len(info.Exports) != 2 {
		t.Fatalf("exports: %+v", info)
	}
	for _, e := range info.Exports {
		rw := e.Name == ""
		if e.ReadOnly == rw || e.Trim != rw || e.Zero != rw || e.FastZero != rw ||
			!e.Multi || !e.Cache || !e.DF || !e.Flush || !e.FUA || len(e.Contexts) != 2 ||
			e.Min != 1 || e.Preferred != 4096 || e.Max != 32<<20 {
			t.Errorf("%+v", e)
		}
	}
	if e := info.Exports[0]; e.Size != m.Size() || e.Description != "the session" {
		t.Errorf("%+v", e)
	}

	var extents []struct{ Offset, Length, Type int64 }
	if err := json.Unmarshal([]byte(tool(t, "nbdinfo", "--map", "--json", uri)), &extents); err != nil {
		t.Fatal(err)
	}
	want := []struct{ Offset, Length, Type int64 }{{0, 2 << 20, 0}, {2 << 20, 4 << 20, 3}, {6 << 20, 2 << 20, 0}}
	if fmt.Sprint(extents) != fmt.Sprint(want) {
		t.Errorf("base:allocation: %v, want %v", extents, want)
	}
	extents = nil
	if err := json.Unmarshal([]byte(tool(t, "nbdinfo", "--map="+contextOverlay, "--json", uri)), &extents); err != nil {
		t.Fatal(err)
	}
	if len(extents) != 3 || extents[1].Type != int64(overlayZero) {
		t.Errorf("snapview:overlay: %v", extents)
	}
}

func TestNbdcopy_CopiesBothWays(t *testing.T) {
	m, want := image(t)
	copied := block.NewMemory(m.Size())
	uri := serveURI(t, Options{}, "nbd", "", Export{Device: m, ReadOnly: true}, Export{Name: "copy", Device: copied})
	to := strings.Replace(uri, ":///?", ":///copy?", 1)
	for _, conns := range []string{"1", "4"} {
		file := filepath.Join(t.TempDir(), "disk.raw")
		tool(t, "nbdcopy", "--connections="+conns, uri, file)
		got, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s connections: the copy differs (%v)", conns, err)
		}
		if err := copied.Zero(0, copied.Size()); err != nil {
			t.Fatal(err)
		}
		tool(t, "nbdcopy", "--flush", "--connections="+conns, file, to)
		if !bytes.Equal(contents(t, copied), want) {
			t.Errorf("%s connections: the copy back differs", conns)
		}
		if err := copied.Zero(0, copied.Size()); err != nil {
			t.Fatal(err)
		}
		tool(t, "nbdcopy", "--flush", "--connections="+conns, uri, to)
		if !bytes.Equal(contents(t, copied), want) {
			t.Errorf("%s connections: the copy from export to export differs", conns)
		}
	}
}

// nbdshScript exercises what libnbd offers and the other tools do not use.
const nbdshScript = `
import errno
h.add_meta_context("base:allocation")
h.add_meta_context("snapview:overlay")
h.connect_uri(URI)
assert h.get_structured_replies_negotiated()
assert h.can_meta_context("snapview:overlay")
assert h.get_block_size(nbd.SIZE_MAXIMUM) == 32 << 20
h.set_strict_mode(0)            # let the server be the judge
size = h.get_size()

h.pwrite(b"x" * 100, 4000, nbd.CMD_FLAG_FUA)
assert h.pread(100, 4000, nbd.CMD_FLAG_DF) == b"x" * 100
h.zero(50, 4000, nbd.CMD_FLAG_NO_HOLE)
h.trim(10, 4050)
assert h.pread(100, 4000) == b"\0" * 60 + b"x" * 40
h.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO)
h.cache(size, 0)
h.flush()

def fails(want, f, *args):
    try:
        f(*args)
    except nbd.Error as e:
        assert e.errnum == want, (e.errnum, want, args)
        return
    raise AssertionError("no error: %r" % (args,))

fails(errno.EINVAL, h.pread, 512, size)
fails(errno.ENOSPC, h.pwrite, b"x" * 512, size - 1)
fails(errno.EINVAL, h.trim, 512, size)
fails(errno.ENOSPC, h.zero, 512, size)
fails(errno.ENOTSUP, h.zero, 512, 0, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)
fails(errno.EINVAL, h.pread, 512, 0, 1 << 9)

# Pipelined requests, more than the server has workers, all at once.
bufs = [nbd.Buffer(65536) for _ in range(200)]
cookies = [h.aio_pread(b, i * 4096) for i, b in enumerate(bufs)]
while cookies:
    h.poll(-1)
    cookies = [c for c in cookies if not h.aio_command_completed(c)]

found = {}
def status(context, offset, entries, err):
    found[context] = list(entries)
    return 0
h.block_status(size, 0, status)
assert sum(found["base:allocation"][0::2]) == size, found
h.block_status(size, 0, status, nbd.CMD_FLAG_REQ_ONE)
assert len(found["base:allocation"]) == 2 and len(found["snapview:overlay"]) == 2, found
h.shutdown()
print("all well")
`

func TestNbdsh_RunsEveryCommand(t *testing.T) {
	m, _ := image(t)
	uri := serveURI(t, Options{}, "nbd", "", Export{Device: m})
	out := tool(t, "nbdsh", "-c", fmt.Sprintf("URI = %q", uri), "-c", nbdshScript)
	if !strings.Contains(out, "all well") {
		t.Errorf("nbdsh: %s", out)
	}
}

func TestQemu_InfoMapConvertCompareAndIO(t *testing.T) {
	m, want := image(t)
	uri := serveURI(t, Options{}, "nbd", "", Export{Device: m})
	if out := tool(t, "qemu-img", "info", "--output=json", uri); !strings.Contains(out, fmt.Sprint(m.Size())) {
		t.Errorf("qemu-img info: %s", out)
	}
	var extents []struct {
		Start, Length int64
		Zero          bool
	}
	if err := json.Unmarshal([]byte(tool(t, "qemu-img", "map", "--output=json", "-f", "raw", uri)), &extents); err != nil {
		t.Fatal(err)
	}
	if len(extents) != 3 || extents[1].Start != 2<<20 || extents[1].Length != 4<<20 || !extents[1].Zero || extents[0].Zero {
		t.Errorf("qemu-img map: %+v", extents)
	}
	dir := t.TempDir()
	raw, qcow := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "disk.qcow2")
	tool(t, "qemu-img", "convert", "-f", "raw", "-O", "raw", uri, raw)
	if got, err := os.ReadFile(raw); err != nil || !bytes.Equal(got, want) {
		t.Errorf("qemu-img convert: the copy differs (%v)", err)
	}
	tool(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, qcow)
	tool(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", uri, qcow)
	if err := m.Zero(0, m.Size()); err != nil {
		t.Fatal(err)
	}
	tool(t, "qemu-img", "convert", "-n", "-f", "qcow2", "-O", "raw", qcow, uri)
	if !bytes.Equal(contents(t, m), want) {
		t.Error("qemu-img convert onto the export: the copy differs")
	}
	tool(t, "qemu-io", "-f", "raw",
		"-c", "write -P 0x5a 1000 70000", "-c", "read -P 0x5a 1000 70000", "-c", "write -z -u 4096 8192",
		"-c", "read -P 0 4096 8192", "-c", "discard 65536 65536", "-c", "flush", "-c", "aio_write -P 1 2M 4M",
		"-c", "aio_read -P 1 2M 4M", "-c", "aio_flush", uri)
}

func TestFio_VerifiesWhatItWrote(t *testing.T) {
	if !strings.Contains(tool(t, "fio", "--enghelp"), "nbd") {
		t.Skip("this fio was built without its NBD engine")
	}
	m := block.NewMemory(16 << 20)
	uri := serveURI(t, Options{}, "nbd", "", Export{Device: m})
	tool(t, "fio", "--name=verify", "--ioengine=nbd", "--uri="+uri, "--rw=randrw", "--bsrange=512-256k",
		"--iodepth=32", "--size=16M", "--io_size=32M", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0")
}

func TestTLS_Nbdinfo(t *testing.T) {
	dir := makeCertificates(t)
	cfg, err := LoadTLS(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	m, want := image(t)
	uri := serveURI(t, Options{TLS: cfg, RequireTLS: true}, "nbds", "", Export{Device: m})
	uri += "&tls-certificates=" + dir + "&tls-hostname=localhost"
	if strings.Contains(tool(t, "nbdinfo", "--help"), "--map") {
		tool(t, "nbdinfo", "--map", uri)
	}
	file := filepath.Join(t.TempDir(), "disk.raw")
	tool(t, "nbdcopy", uri, file)
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the copy differs (%v)", err)
	}
	plain := strings.Replace(uri, "nbds+", "nbd+", 1)
	if out, err := exec.CommandContext(t.Context(), "nbdinfo", plain).CombinedOutput(); err == nil {
		t.Errorf("a client without TLS got in: %s", out)
	}
}

func TestTCP_IsServedBesideTheSocket(t *testing.T) {
	m, want := image(t)
	s, dial := serveDevices(t, Options{}, Export{Device: m})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	connect(t, dial(), "", false).disconnect()
	file := filepath.Join(t.TempDir(), "disk.raw")
	tool(t, "nbdcopy", "nbd://"+l.Addr().String(), file)
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the copy differs (%v)", err)
	}
	s.Close()
	<-done
}
