package objects

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
)

// Local is a directory of this host as a Store. Links are not followed below
// it.
type Local struct {
	dir  string
	pool *hostdir.Pool
	root *hostdir.Root
}

var _ Store = (*Local)(nil)

// OpenLocal returns the directory as a store. Bytes read are added to counter;
// at most maxOpenFiles stay open (0: snapshot.DefaultMaxOpenFiles).
func OpenLocal(dir string, maxOpenFiles int, counter *snapshot.Counter) (*Local, error) {
	return OpenLocalIn(dir, hostdir.NewPool(maxOpenFiles, counter))
}

// OpenLocalIn is OpenLocal with a pool of the caller's, which is closed with the
// store, or when the store cannot be opened.
func OpenLocalIn(dir string, pool *hostdir.Pool) (*Local, error) {
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	root, err := pool.Root(resolved)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return &Local{resolved, pool, root}, nil
}

// HostDir returns the directory, links resolved; see the function HostDir.
func (l *Local) HostDir() string { return l.dir }

// Open implements Store.
func (l *Local) Open(_ context.Context, name string) (Object, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, _, err := l.root.File(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// List implements Store. Files that are neither regular nor directories are
// left out.
func (l *Local) List(_ context.Context, dir string) ([]Entry, error) {
	if !fs.ValidPath(dir) {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrInvalid}
	}
	// No element on the way may be a link: it could lead out of the store.
	for at := dir; at != "."; at = path.Dir(at) {
		info, err := os.Lstat(filepath.Join(l.dir, at))
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			return nil, &fs.PathError{Op: "list", Path: filepath.Join(l.dir, at), Err: fs.ErrNotExist}
		}
	}
	list, err := os.ReadDir(filepath.Join(l.dir, dir))
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, e := range list {
		if !e.IsDir() && !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		entry := Entry{Name: e.Name(), Dir: e.IsDir(), Changed: info.ModTime()}
		if !entry.Dir {
			entry.Size = info.Size()
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// String implements Store.
func (l *Local) String() string { return strings.TrimSuffix(l.dir, "/") }

// Close implements Store.
func (l *Local) Close() error { return l.pool.Close() }
