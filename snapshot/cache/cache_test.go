package cache_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot/cache"
)

func put(t *testing.T, s *cache.Store, k cache.Key, text string) {
	t.Helper()
	w, err := s.Create(k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	f, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); err != nil || string(b) != text {
		t.Errorf("%q, %v", b, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, s *cache.Store, k cache.Key) bool {
	t.Helper()
	f, err := s.Get(k)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return true
}

func TestStore_EvictsTheLeastRecentlyUsed(t *testing.T) {
	dir := t.TempDir()
	s, err := cache.Open(dir, 25)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := cache.Key{1}, cache.Key{2}, cache.Key{3}
	put(t, s, a, "0123456789")
	put(t, s, b, "0123456789")
	old := time.Now().Add(-time.Hour)
	for _, k := range []cache.Key{a, b} {
		if err := os.Chtimes(dir+"/"+k.String()+".snapview-cache", old, old); err != nil {
			t.Fatal(err)
		}
	}
	if !has(t, s, a) { // used now
		t.Fatal("a is gone")
	}
	put(t, s, c, "0123456789")
	if !has(t, s, a) || has(t, s, b) || !has(t, s, c) {
		t.Error("b, used least recently, should be the one to go")
	}
	put(t, s, b, "more than the limit by itself") // kept: it is in use
	if has(t, s, a) || has(t, s, c) || !has(t, s, b) {
		t.Error("the new entry should be the only one")
	}
}

func TestStore_UnfinishedEntriesAreInvisible(t *testing.T) {
	dir := t.TempDir()
	s, err := cache.Open(dir, 100)
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Create(cache.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	if has(t, s, cache.Key{1}) {
		t.Error("visible before Commit")
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("left after Abort: %v, %v", list, err)
	}
}

func TestFileKey_TellsFilesApart(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 300<<10)
	now := time.Now()
	key := func(b []byte, at time.Time, purpose string) cache.Key {
		k, err := cache.FileKey(bytes.NewReader(b), int64(len(b)), at, purpose)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	same := key(long, now, "p")
	tail := bytes.Clone(long)
	tail[len(tail)-1]++
	for name, k := range map[string]cache.Key{
		"size": key(long[1:], now, "p"), "time": key(long, now.Add(1), "p"), "tail": key(tail, now, "p"), "purpose": key(long, now, "q"),
	} {
		if k == same {
			t.Errorf("%s does not count", name)
		}
	}
	if key(long, now, "p") != same {
		t.Error("not the same twice")
	}
	key(nil, now, "p")
	key([]byte("short"), now, "p")
}
