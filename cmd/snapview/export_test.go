package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExportThatBreaksOffLeavesNoFile has a session that ends within an image.
func TestExportThatBreaksOffLeavesNoFile(t *testing.T) {
	for format, where := range map[string]string{"raw": "[[0,4096],[8192,4096]]", "qcow2": "[]"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/extents") {
				fmt.Fprintf(w, `{"bytes": 1048576, "extents": %s}`, where)
				return
			}
			w.Header().Set("Content-Type", "multipart/byteranges; boundary=x")
			w.WriteHeader(http.StatusPartialContent)
			fmt.Fprintf(w, "--x\r\nContent-Range: bytes 0-4095/1048576\r\n\r\nhalf a page")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))
		defer server.Close()
		api := sessionAt("demo", &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
			},
		}})
		var out, errs bytes.Buffer
		a := &app{out: &out, err: &errs}
		path := filepath.Join(t.TempDir(), "image")
		if err := a.export(t.Context(), api, "base", format, path); err == nil {
			t.Errorf("%s: half an image is a whole one", format)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s: the partial file is still there: %v", format, err)
		}
	}
}

func TestExtentsOfADiskAreChecked(t *testing.T) {
	for name, d := range map[string]diskExtents{
		"past the end": {8192, [][2]int64{{4096, 8192}}},
		"overlapping":  {8192, [][2]int64{{0, 4096}, {4095, 1}}},
		"negative":     {8192, [][2]int64{{-4096, 4096}}},
		"empty":        {8192, [][2]int64{{0, 0}}},
		"overflowing":  {8192, [][2]int64{{4096, 1<<63 - 1}}},
	} {
		if d.check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	good := diskExtents{8192, [][2]int64{{0, 4096}, {4096, 4096}}}
	if err := good.check(); err != nil {
		t.Error(err)
	}
}
