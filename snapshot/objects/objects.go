// Package objects is what the sources ask of a place that keeps a backup as
// many named objects: a directory of this host, a bucket of an object store, a
// web server. Sources of repositories (Kloset, pgBackRest, tars) read through
// it, so that each works wherever its layout is the same.
package objects

import (
	"context"
	"io"
	"time"
)

// A Store is a read-only set of named objects. Names are slash-separated and
// relative, as io/fs has them; "." is the store itself. All methods may be
// called concurrently.
//
// Errors wrap fs.ErrNotExist for what is not there and fs.ErrPermission for
// what may not be read; others name the object and what the store answered.
type Store interface {
	// Open finds the object and returns it for reading. It reads none of
	// the content.
	Open(ctx context.Context, name string) (Object, error)

	// List returns what lies directly below a directory, by name. A store
	// that has no directories derives them from the names; one that is not
	// there is fs.ErrNotExist. Stores that cannot list (plain HTTP) return
	// an error that wraps errors.ErrUnsupported.
	List(ctx context.Context, dir string) ([]Entry, error)

	// String names the store as a person would: a path, an address. It
	// holds no secret.
	String() string

	// Close releases the store and all objects opened from it. Reads under
	// way end first.
	Close() error
}

// An Object is one object's bytes. ReadAt follows io.ReaderAt, may be called
// concurrently, and counts what it takes from the store. An object that was
// changed or replaced since it was opened fails to be read.
type Object interface {
	io.ReaderAt
	// Size returns its size in bytes.
	Size() int64
	// Changed returns when it was changed last, as of when it was opened;
	// the zero time if the store does not tell.
	Changed() time.Time
	// Prefetch is a hint that a range will be read. It returns at once.
	Prefetch(off, n int64)
}

// An Entry is one name in a directory.
type Entry struct {
	Name    string // without the directory
	Dir     bool
	Size    int64 // bytes; 0 for a directory
	Changed time.Time
	Tag     string // of the version, where the store's list tells it; see Found
}
