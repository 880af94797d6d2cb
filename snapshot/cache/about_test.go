package cache_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/snapview/snapview/snapshot/cache"
)

// described writes an entry with two parts and returns its bytes.
func described(t testing.TB, s *cache.Store, k cache.Key) []byte {
	t.Helper()
	w, err := s.Create(k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "index and notes"); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteAbout(cache.About{Object: "base.tar.gz", What: "index of gzip", Bytes: 10, Data: 100, Parts: []int64{5, 10}}); err != nil {
		t.Fatal(err)
	}
	f, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAbout_ListAndClear(t *testing.T) {
	s, err := cache.Open(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	k := cache.Key{7}
	whole := described(t, s, k)
	put(t, s, cache.Key{8}, "one that does not say what it is")
	list, err := s.List()
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	found := false
	for _, e := range list {
		want := cache.About{Key: k.String(), Object: "base.tar.gz", What: "index of gzip", Bytes: 10, Data: 100, Parts: []int64{5, 10}}
		found = found || reflect.DeepEqual(e.About, want) && e.Size == int64(len(whole))
	}
	if !found {
		t.Errorf("%+v", list)
	}
	if n, bytes, err := s.Clear(); n != 2 || bytes < int64(len(whole)) || err != nil {
		t.Errorf("Clear: %d entries, %d bytes, %v", n, bytes, err)
	}
	if has(t, s, k) {
		t.Error("cleared, and there")
	}
}

func TestReadAbout_NoticesDamage(t *testing.T) {
	s, err := cache.Open(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	whole := described(t, s, cache.Key{7})
	for at := len("index and notes"); at < len(whole); at++ {
		bad := bytes.Clone(whole)
		bad[at] ^= 4
		if _, err := cache.ReadAbout(bytes.NewReader(bad), int64(len(bad))); !errors.Is(err, cache.ErrNoAbout) {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	for n := range whole {
		if _, err := cache.ReadAbout(bytes.NewReader(whole[:n]), int64(n)); !errors.Is(err, cache.ErrNoAbout) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	// parts that are longer than the entry
	if _, err := cache.ReadAbout(bytes.NewReader(whole[3:]), int64(len(whole)-3)); !errors.Is(err, cache.ErrNoAbout) {
		t.Errorf("cut at the beginning: %v", err)
	}
}

func FuzzReadAbout(f *testing.F) {
	s, err := cache.Open(f.TempDir(), 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(described(f, s, cache.Key{7}))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := cache.ReadAbout(bytes.NewReader(b), int64(len(b)))
		var sum int64
		for _, part := range a.Parts {
			sum += part
		}
		if err == nil && sum > int64(len(b)) {
			t.Fatalf("parts of %d bytes in %d", sum, len(b))
		}
	})
}
