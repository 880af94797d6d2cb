package tarheaders

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/tarindex"
)

func sample(t testing.TB, members int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range members {
		name := fmt.Sprintf("base/5/%d", i)
		if i%7 == 0 {
			name = strings.Repeat("long/", 60) + name // needs an extended header
		}
		body := bytes.Repeat([]byte{byte(i)}, i*977%20000)
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(body)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func record(t testing.TB, archive []byte, step int) []byte {
	t.Helper()
	r, err := NewRecorder()
	if err != nil {
		t.Fatal(err)
	}
	for rest := archive; len(rest) > 0; {
		n := min(step, len(rest))
		r.Write(rest[:n]) //nolint:errcheck // it never fails
		rest = rest[n:]
	}
	return r.Notes()
}

// counted counts the reads that come through.
type counted struct {
	r     io.ReaderAt
	reads int
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.reads++
	return c.r.ReadAt(p, off)
}

func scan(t testing.TB, r io.ReaderAt, size int) (list []tarindex.Member) {
	t.Helper()
	_, err := tarindex.Scan(t.Context(), r, int64(size), "test", func(m tarindex.Member) error {
		list = append(list, m)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestReader_AnswersTheWholeScan(t *testing.T) {
	archive := sample(t, 3000)
	want := scan(t, bytes.NewReader(archive), len(archive))
	for _, step := range []int{100, 511, 512, 100_000, len(archive)} {
		notes := record(t, archive, step)
		if len(notes) > 200*len(want) {
			t.Errorf("%d bytes for %d members", len(notes), len(want))
		}
		data := &counted{r: bytes.NewReader(archive)}
		r, err := NewReader(bytes.NewReader(notes), data)
		if err != nil {
			t.Fatal(err)
		}
		if got := scan(t, r, len(archive)); !reflect.DeepEqual(got, want) {
			t.Errorf("in steps of %d: other members", step)
		}
		if data.reads != 0 {
			t.Errorf("in steps of %d: %d reads were passed on", step, data.reads)
		}
		r.Close()
	}
}

// Notes that are damaged or of less than the tar make the scan slower, not
// different.
func TestReader_PassesOnWhatItDoesNotKnow(t *testing.T) {
	archive := sample(t, 300)
	want := scan(t, bytes.NewReader(archive), len(archive))
	notes := record(t, archive, 1000)
	flipped := bytes.Clone(notes)
	flipped[len(flipped)/2] ^= 1
	for name, notes := range map[string][]byte{
		"none": nil, "cut": notes[:len(notes)-1], "flipped": flipped, "of a part": record(t, archive[:100_000], 1000),
	} {
		data := &counted{r: bytes.NewReader(archive)}
		r, err := NewReader(bytes.NewReader(notes), data)
		if err != nil {
			t.Fatal(err)
		}
		if got := scan(t, r, len(archive)); !reflect.DeepEqual(got, want) || data.reads == 0 {
			t.Errorf("%s: %d members of %d, %d reads", name, len(got), len(want), data.reads)
		}
		r.Close()
	}
}

// Reads that leave some out, or are of another length, get what the tar holds.
func TestReader_AnswersOtherReadsToo(t *testing.T) {
	archive := sample(t, 300)
	members := scan(t, bytes.NewReader(archive), len(archive))
	r, err := NewReader(bytes.NewReader(record(t, archive, 1000)), bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i, m := range members {
		n := 512
		switch i % 3 {
		case 0:
			continue
		case 1:
			n = 100
		}
		p := make([]byte, n)
		if _, err := r.ReadAt(p, m.Header); err != nil || !bytes.Equal(p, archive[m.Header:m.Header+int64(n)]) {
			t.Fatalf("member %d: %v", i, err)
		}
	}
}

// What is no tar is none of the recorder's business.
func TestRecorder_TakesAnything(t *testing.T) {
	for _, b := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte("no tar"), 10_000)} {
		record(t, b, 1000)
	}
	r, err := NewRecorder()
	if err != nil {
		t.Fatal(err)
	}
	r.Write(make([]byte, 10)) //nolint:errcheck // it never fails
	r.Stop()
}

func FuzzReader(f *testing.F) {
	archive := sample(f, 20)
	f.Add(record(f, archive, 1000), int64(0), 512)
	f.Fuzz(func(t *testing.T, notes []byte, off int64, n int) {
		if n < 0 || n > 1<<16 || off < 0 {
			return
		}
		r, err := NewReader(bytes.NewReader(notes), bytes.NewReader(archive))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		_, _ = r.ReadAt(make([]byte, n), off)
		_, _ = r.ReadAt(make([]byte, n), off+1000)
	})
}
