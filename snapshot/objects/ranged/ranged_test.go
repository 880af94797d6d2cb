package ranged_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/ranged"
)

func answer(contentRange, length string) http.Header {
	h := http.Header{}
	h.Set("Content-Range", contentRange)
	h.Set("Content-Length", length)
	return h
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		contentRange, length string
		ok, replaced         bool
	}{
		{"bytes 10-19/100", "10", true, false},
		{"bytes 10-19/100", "", true, false},
		{"bytes 10-19/101", "10", false, true},
		{"bytes 10-18/100", "9", false, false},
		{"bytes 11-20/100", "10", false, false},
		{"bytes 10-19/100", "11", false, false},
		{"bytes 10-19/*", "10", false, false},
		{"bytes */100", "10", false, false},
		{"bytes 19-10/100", "10", false, false},
		{"bytes -1-19/100", "10", false, false},
		{"bytes 10-19/15", "10", false, false},
		{"lines 10-19/100", "10", false, false},
		{"", "10", false, false},
	} {
		err := ranged.Check(answer(c.contentRange, c.length), 10, 10, 100)
		if (err == nil) != c.ok || errors.Is(err, snapshot.ErrDamaged) != c.replaced {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("bytes 0-9/100", "10", int64(0), int64(10), int64(100))
	f.Add("bytes 9223372036854775807-0/0", "-1", int64(1)<<62, int64(1), int64(1)<<62)
	f.Fuzz(func(t *testing.T, contentRange, length string, off, n, size int64) {
		h := answer(contentRange, length)
		if ranged.Check(h, off, n, size) == nil && (off < 0 || n < 1 || off+n > size || size > ranged.MaxSize) {
			t.Errorf("%q taken for %d bytes at %d of %d", contentRange, n, off, size)
		}
		if total, err := ranged.Total(h, off); err == nil && (total <= off || total > ranged.MaxSize) {
			t.Errorf("%q gives %d bytes in all, from %d on", contentRange, total, off)
		}
	})
}

func TestBody(t *testing.T) {
	for text, ok := range map[string]bool{"abc": true, "abcdef": true, "ab": false, "": false} {
		var c snapshot.Counter
		b, err := io.ReadAll(ranged.Body(context.Background(), io.NopCloser(strings.NewReader(text)), "the object", 3, &c))
		if (err == nil) != ok || c.Load() != int64(len(b)) || ok && string(b) != "abc" {
			t.Errorf("%q: %q, %v, counted %d", text, b, err, c.Load())
		}
		if err != nil && (!objects.IsPassing(err) || !strings.Contains(err.Error(), "the object")) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
