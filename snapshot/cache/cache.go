// Package cache keeps files that were expensive to compute from a backup, such
// as an index of a compressed tar, so that the next open is instant.
//
// An entry is named by a Key of what it was made from, written under a
// temporary name and renamed when it is whole: an entry that can be opened is
// complete, and two processes that make the same one do no harm. When an entry
// is committed the least recently used ones are removed until the store fits
// its limit; an entry that is removed while somebody reads it stays readable
// for him. The directory and its files are readable by their owner only: they
// hold what the backup holds.
package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	suffix    = ".snapview-cache"
	temporary = ".snapview-part"
	staleTemp = 6 * time.Hour // since a writer last wrote
	keySample = 64 << 10      // bytes of head and tail in a key
)

// A Key identifies the content of a file without reading all of it.
type Key [sha256.Size]byte

// String gives the key in hexadecimal digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// FileKey makes the key of a file from its size, its time of change and the
// hash of its first and last 64 KiB. purpose tells entries of different kinds
// or formats apart that are made of one file.
func FileKey(r io.ReaderAt, size int64, changed time.Time, purpose string) (Key, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00", purpose)
	var n [16]byte
	binary.LittleEndian.PutUint64(n[:8], uint64(size))
	binary.LittleEndian.PutUint64(n[8:], uint64(changed.UnixNano()))
	h.Write(n[:])
	buf := make([]byte, min(size, keySample))
	for _, off := range []int64{0, size - int64(len(buf))} {
		if k, err := r.ReadAt(buf, off); err != nil && (k < len(buf) || !errors.Is(err, io.EOF)) {
			return Key{}, err
		}
		h.Write(buf)
	}
	return Key(h.Sum(nil)), nil
}

// A Store is a directory of entries. All methods may be called concurrently,
// also by several processes.
type Store struct {
	dir   string
	limit int64
}

// Open returns the store in dir, made if need be; empty means the directory
// snapview in the user's cache directory. limit is in bytes.
func Open(dir string, limit int64) (*Store, error) {
	dir, err := Dir(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Store{dir, limit}, nil
}

// Dir returns dir, or if it is empty the directory snapview in the user's cache
// directory.
func Dir(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no directory for the cache (name one with --cache-dir): %w", err)
	}
	return filepath.Join(base, "snapview"), nil
}

func (s *Store) name(k Key) string { return filepath.Join(s.dir, k.String()+suffix) }

// Get opens an entry; its error is fs.ErrNotExist if there is none.
func (s *Store) Get(k Key) (*os.File, error) {
	f, err := os.Open(s.name(k))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	_ = os.Chtimes(s.name(k), now, now) // used last; without it the entry is only evicted earlier
	return f, nil
}

// Remove forgets an entry, one that turned out to be damaged.
func (s *Store) Remove(k Key) error {
	err := os.Remove(s.name(k))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// A Writer makes an entry. One of Commit and Abort must be called.
type Writer struct {
	*os.File
	store *Store
	key   Key
}

// Create starts an entry.
func (s *Store) Create(k Key) (*Writer, error) {
	f, err := os.CreateTemp(s.dir, k.String()[:16]+"-*"+temporary)
	if err != nil {
		return nil, err
	}
	return &Writer{f, s, k}, nil
}

// Commit makes the entry visible, evicts others, and returns it for reading.
func (w *Writer) Commit() (*os.File, error) { return w.CommitAs(w.key) }

// CommitAs is Commit under another key than the entry was created with, for
// what turned out to be less than was meant to be made.
func (w *Writer) CommitAs(k Key) (*os.File, error) {
	w.key = k
	if err := errors.Join(w.Sync(), os.Rename(w.Name(), w.store.name(w.key))); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	f, err := os.Open(w.store.name(w.key))
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	if err := w.store.evict(w.key); err != nil {
		return nil, errors.Join(fmt.Errorf("cache: %w", err), f.Close())
	}
	return f, nil
}

// Abort drops the entry.
func (w *Writer) Abort() error {
	err := os.Remove(w.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(w.Close(), err)
}

// evict removes the least recently used entries but keep, until the rest fits,
// and what writers that died have left.
func (s *Store) evict(keep Key) error {
	list, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	type entry struct {
		name string
		size int64
		used time.Time
	}
	var entries []entry
	var sum int64
	var errs []error
	remove := func(name string) {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		switch {
		case strings.HasSuffix(e.Name(), temporary) && time.Since(info.ModTime()) > staleTemp:
			remove(e.Name())
		case strings.HasSuffix(e.Name(), suffix):
			sum += info.Size()
			if e.Name() != keep.String()+suffix {
				entries = append(entries, entry{e.Name(), info.Size(), info.ModTime()})
			}
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.used.Compare(b.used) })
	for _, e := range entries {
		if sum <= s.limit {
			break
		}
		remove(e.name)
		sum -= e.size
	}
	return errors.Join(errs...)
}
