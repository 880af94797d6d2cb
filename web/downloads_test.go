package web_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/snapview/snapview/testneeds"
	"github.com/snapview/snapview/web"
)

type downloadState struct {
	ID, Kind, State, FileName string
	Rows, Bytes, ExpectedRows int64
	Millis                    float64 `json:"ms"`
	Error                     *struct{ Code, Detail string }
}

// downloadState asks for what is known of one download.
func (e *env) downloadState(id string) (found downloadState) {
	e.t.Helper()
	var list struct{ Items []downloadState }
	e.call("GET", "/sessions/demo/exports", nil, 200, &list)
	for _, d := range list.Items {
		if d.ID == id {
			return d
		}
	}
	return found
}

// begin prepares a download and asks for it as the browser does.
func (e *env) begin(path string, body map[string]any) (id string, res *http.Response) {
	e.t.Helper()
	var ready struct{ URL, ID string }
	e.call("POST", shop+path, body, 201, &ready)
	if d := e.downloadState(ready.ID); d.State != "waiting" {
		e.t.Errorf("before it is asked for: %+v", d)
	}
	res, err := e.client.Get(e.base + ready.URL)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { res.Body.Close() })
	return ready.ID, res
}

func TestDownloads_AreFollowedToTheirEnd(t *testing.T) {
	e := newEnv(t)
	id, res := e.begin("/exports", map[string]any{"relation": e.oid("shop", "log"), "format": "csv"})
	file, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the download is done", func() bool { return e.downloadState(id).State == "done" })
	d := e.downloadState(id)
	if d.Rows != 5000 || d.Bytes != int64(len(file)) || d.ExpectedRows != 5000 || d.FileName != "shop_shop_log_2026-11-20.csv" || d.Kind != "export" || d.Error != nil {
		t.Errorf("%+v of %d bytes", d, len(file))
	}
	e.call("DELETE", "/sessions/demo/exports/"+id, nil, 204, nil)
	e.refused("DELETE", "/sessions/demo/exports/"+id, nil, 404, "export-not-found")

	// One that waits is withdrawn.
	var ready struct{ URL, ID string }
	e.call("POST", shop+"/exports", map[string]any{"sql": "select 1", "format": "csv"}, 201, &ready)
	e.call("DELETE", "/sessions/demo/exports/"+ready.ID, nil, 204, nil)
	wantProblem(t, e.raw(e.client, "GET", ready.URL, nil, nil), 404, "export-not-found")
}

// TestDownloads_ThatFailBreakOff: a browser keeps what ends in order, so a part
// must not.
func TestDownloads_ThatFailBreakOff(t *testing.T) {
	e := newEnv(t)
	for _, format := range []string{"csv", "json", "parquet"} {
		id, res := e.begin("/exports", map[string]any{"sql": "select 1/(5000-i) as x from generate_series(1, 10000) i", "format": format})
		file, err := io.ReadAll(res.Body)
		if err == nil {
			t.Errorf("%s: %d bytes ended in order", format, len(file))
		}
		if format == "csv" && !strings.Contains(string(file), "# snapview: export failed after 4999 rows") {
			t.Errorf("the file ends with %q", file[max(0, len(file)-100):])
		}
		eventually(t, "the download has failed", func() bool { return e.downloadState(id).State == "failed" })
		if d := e.downloadState(id); d.Rows != 4999 || d.Error == nil || d.Error.Detail != "division by zero" {
			t.Errorf("%s: %+v", format, d)
		}
	}
	// A mistake of ours is no end in order either.
	e.session.Dumps = func(context.Context, web.DumpOptions, io.Writer) error { panic("in a test") }
	broken, res := e.begin("/dumps", map[string]any{})
	_, _ = io.Copy(io.Discard, res.Body)
	eventually(t, "the download has failed", func() bool { return e.downloadState(broken).State == "failed" })
	// Nor after the first byte.
	e.session.Dumps = func(_ context.Context, _ web.DumpOptions, w io.Writer) error {
		_, _ = io.WriteString(w, "-- half a dump\n")
		panic("in a test")
	}
	half, res := e.begin("/dumps", map[string]any{})
	if text, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("%q looks like a whole dump", text)
	}
	eventually(t, "the download has failed", func() bool { return e.downloadState(half).State == "failed" })
	// Before the first byte it is a problem, and known as well.
	id, res := e.begin("/exports", map[string]any{"sql": "select 1 from pg_sleep(60)", "format": "csv", "timeoutSeconds": 0.2})
	_, _ = io.Copy(io.Discard, res.Body)
	eventually(t, "its time is up", func() bool { return e.downloadState(id).State == "failed" })
	if d := e.downloadState(id); d.Error == nil || d.Error.Code != "timeout" {
		t.Errorf("%+v", d)
	}
}

// TestDownloads_AreCancelled while rows flow, and while the client takes none.
func TestDownloads_AreCancelled(t *testing.T) {
	e := newEnv(t)
	body := map[string]any{"sql": "select generate_series(1, 100000000), repeat('x', 1000)", "format": "csv"}
	started := func(id string) func() bool {
		return func() bool {
			d := e.downloadState(id)
			return d.State == "running" && d.Bytes > 0 && (d.Rows > 0 || d.Kind == "dump")
		}
	}
	cancelled := func(id string) func() bool {
		return func() bool { return e.downloadState(id).State == "cancelled" }
	}
	// A dump whose client takes nothing: looked at in the end, as its own takes a while.
	e.session.Dumps = func(_ context.Context, _ web.DumpOptions, w io.Writer) (err error) {
		for p := make([]byte, 32<<10); err == nil; {
			_, err = w.Write(p)
		}
		return err
	}
	dump, _ := e.begin("/dumps", map[string]any{})
	eventually(t, "bytes of the dump are counted", started(dump))
	e.call("DELETE", "/sessions/demo/exports/"+dump, nil, 204, nil)
	e.stallOnLargeObject(t)
	for _, reads := range []bool{true, false} {
		id, res := e.begin("/exports", body)
		ended := make(chan error, 1)
		if reads {
			go func() { _, err := io.Copy(io.Discard, res.Body); ended <- err }()
		}
		eventually(t, "bytes are counted", started(id))
		e.call("DELETE", "/sessions/demo/exports/"+id, nil, 204, nil)
		eventually(t, "it is cancelled", cancelled(id))
		if reads && <-ended == nil {
			t.Error("the file that was cancelled ended in order")
		}
	}
	eventually(t, "the dump is cancelled", cancelled(dump))
	eventually(t, "no statement runs, that of the large object neither", func() bool {
		var list struct{ Items []any }
		e.call("GET", "/sessions/demo/queries", nil, 200, &list)
		return len(list.Items) == 0
	})
	// The browser stops it.
	id, res := e.begin("/exports", body)
	res.Body.Close()
	eventually(t, "the browser's end is seen", func() bool { return e.downloadState(id).State == "cancelled" })
	if d := e.downloadState(id); d.Error == nil || d.Error.Code != "cancelled" || d.Error.Detail != "the browser stopped taking the file" {
		t.Errorf("%+v: %+v", d, d.Error)
	}
}

// stallOnLargeObject asks for a large object, takes nothing of it, and cancels the
// statement that reads it. Its end is for the caller to wait for.
func (e *env) stallOnLargeObject(t *testing.T) {
	t.Helper()
	large := keepContents(t, map[string][]byte{"long": bytes.Repeat([]byte("snapview"), 4<<20)})["long"]
	// With a buffer that does not grow, or the kernel takes it all.
	small := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<10) })
	}}
	client := &http.Client{Jar: e.client.Jar, Transport: &http.Transport{DialContext: small.DialContext}}
	res, err := client.Do(e.request("GET", shop+"/large-objects/"+large, nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	id, rows, still := "", 0, 0
	eventually(t, "what lies between is full", func() bool {
		var list struct {
			Items []struct {
				ID, SQL string
				Rows    int
			}
		}
		e.call("GET", "/sessions/demo/queries", nil, 200, &list)
		for _, q := range list.Items {
			if strings.Contains(q.SQL, "lo_get("+large) {
				if still++; q.Rows != rows || rows == 0 {
					still = 0
				}
				id, rows = q.ID, q.Rows
			}
		}
		return still == 20
	})
	e.call("DELETE", "/sessions/demo/queries/"+id, nil, 204, nil)
}

func TestDownloads_KnowDumps(t *testing.T) {
	if _, err := exec.LookPath("pg_dump"); err != nil {
		testneeds.Missing(t, "pg_dump")
	}
	e := newEnv(t)
	id, res := e.begin("/dumps", map[string]any{"relations": []uint32{e.oid("shop", "employees")}})
	file, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dump is done", func() bool { return e.downloadState(id).State == "done" })
	if d := e.downloadState(id); d.Kind != "dump" || d.Bytes != int64(len(file)) {
		t.Errorf("%+v of %d bytes", d, len(file))
	}
}
