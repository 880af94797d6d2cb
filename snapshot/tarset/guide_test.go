package tarset

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot/tarindex"
)

// A hinted archive notes which of its blocks were asked for before they were
// read.
type hinted struct {
	*bytes.Reader
	asked map[int64]bool
}

func (h *hinted) Size() int64        { return h.Reader.Size() }
func (h *hinted) Changed() time.Time { return time.Time{} }
func (h *hinted) Prefetch(off, n int64) {
	for at := off / 512; at*512 < off+n; at++ {
		h.asked[at*512] = true
	}
}

func TestGuide_ForetellsHeaders(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	order := []sent{{"backup_label", 200}}
	for dir := range 5 {
		for i := range 20 {
			order = append(order, sent{fmt.Sprintf("base/%d/%d", dir, i), int64(200_000 + 1000*i)})
		}
	}
	last := ""
	for _, f := range order {
		if dir, _, ok := bytes.Cut([]byte(f.name[max(0, len("base/")):]), []byte("/")); ok && string(dir) != last {
			last = string(dir)
			if err := w.WriteHeader(&tar.Header{Name: "base/" + last + "/", Typeflag: tar.TypeDir, Mode: 0o700, Format: tar.FormatUSTAR}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.WriteHeader(&tar.Header{Name: f.name, Size: f.size, Mode: 0o600, Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, f.size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data := &hinted{bytes.NewReader(b.Bytes()), map[int64]bool{}}
	a := Archive{Name: "base.tar", Size: data.Size(), Data: data}
	g := (&builder{sent: order}).guide(a, "")
	foretold, files := 0, 0
	_, err := tarindex.Scan(context.Background(), data, a.Size, a.Name, func(m tarindex.Member) error {
		if m.Type == tarindex.File {
			files++
			if data.asked[m.Header] {
				foretold++
			}
		}
		g.seen(&m)
		return nil
	})
	if err != nil || files != len(order) || foretold < files-3 {
		t.Errorf("%d of %d headers were foretold, %v", foretold, files, err)
	}
	if n := len(data.asked); n > 12*files {
		t.Errorf("%d blocks were asked for", n)
	}
}
