package mounted

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/chunks"
)

// maxMark is how much of a mark is hashed, bytes.
const maxMark = 1 << 20

// NewPool returns a pool of files as hostdir.NewPool does, which reads those of
// directories that are far away through a cache. dir names the backup; marks are
// the files below it that tell it from others under the same path. Those that
// are not there are marks too.
func NewPool(opts snapshot.Options, counter *snapshot.Counter, dir string, marks ...string) *hostdir.Pool {
	pool := hostdir.NewPool(opts.MaxOpenFiles, counter)
	when := hostdir.FarByKind
	switch opts.ReadAhead {
	case snapshot.ReadAheadOff:
		return pool
	case snapshot.ReadAheadOn:
		when = hostdir.FarAlways
	}
	b := &backup{dir: dir, identity: sync.OnceValue(func() string { return identity(dir, marks, counter) })}
	store := chunks.New(b, chunks.OptionsOf(opts))
	pool.Through(when, func(f *hostdir.Direct) hostdir.Reader {
		return store.Behind(f.String(), &file{Direct: f})
	}, store)
	return pool
}

// OpenLocal opens a directory of this host as objects.OpenLocal does, and reads
// it through a cache if it is far away.
func OpenLocal(dir string, opts snapshot.Options, counter *snapshot.Counter) (*objects.Local, error) {
	return objects.OpenLocalIn(dir, NewPool(opts, counter, dir))
}

// Check says in the preflight which directories are read through a cache, and
// why; ok is false if none is.
func Check(pool *hostdir.Pool) (c snapshot.Check, ok bool) {
	far := pool.Far()
	if len(far) == 0 {
		return c, false
	}
	more := ""
	if len(far) > 1 {
		more = fmt.Sprintf(" and %d more", len(far)-1)
	}
	return snapshot.Check{
		Name: "mount", Outcome: snapshot.Info,
		Detail: far[0] + more + ": read in pieces of 256 KiB, ahead of who reads forwards, and kept in the cache (--read-ahead)",
	}, true
}

// A backup is the store that the cache stands before. Its files are found by
// the pool, not by their names.
type backup struct {
	dir      string
	identity func() string
	objects.Store
}

func (b *backup) String() string { return b.dir }
func (b *backup) Close() error   { return nil }

// Identity is part of what chunks are kept by.
func (b *backup) Identity() string { return b.identity() }

// identity hashes the marks.
func identity(dir string, marks []string, counter *snapshot.Counter) string {
	h := sha256.New()
	for _, name := range marks {
		text, err := readMark(filepath.Join(dir, name))
		counter.Add(len(text))
		fmt.Fprintf(h, "%s %v %d\x00%s", name, err == nil, len(text), text)
	}
	return "mounted " + hex.EncodeToString(h.Sum(nil))
}

func readMark(name string) (text []byte, err error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, os.ErrInvalid)
	}
	return io.ReadAll(io.LimitReader(f, maxMark))
}
