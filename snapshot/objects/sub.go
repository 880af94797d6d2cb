package objects

import (
	"context"
	"io/fs"
	"path"
)

// Sub returns the directory dir of a store as a store. Closing it closes the
// store.
func Sub(s Store, dir string) Store {
	if dir == "." {
		return s
	}
	return &sub{s, dir}
}

type sub struct {
	Store
	dir string
}

func (s *sub) name(op, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return path.Join(s.dir, name), nil
}

func (s *sub) Open(ctx context.Context, name string) (Object, error) {
	full, err := s.name("open", name)
	if err != nil {
		return nil, err
	}
	return s.Store.Open(ctx, full)
}

// Found is what the function Found asks for.
func (s *sub) Found(ctx context.Context, name string, e Entry) (Object, error) {
	full, err := s.name("open", name)
	if err != nil {
		return nil, err
	}
	return Found(ctx, s.Store, full, e)
}

func (s *sub) List(ctx context.Context, dir string) ([]Entry, error) {
	full, err := s.name("list", dir)
	if err != nil {
		return nil, err
	}
	return s.Store.List(ctx, full)
}

func (s *sub) String() string { return s.Store.String() + "/" + s.dir }

// Hurry passes on to the store that it is to give up waiting, if it waits.
func (s *sub) Hurry() { hurry(s.Store) }

// HostDir is where the directory lies on this host; see HostDir.
func (s *sub) HostDir() string {
	if dir := HostDir(s.Store); dir != "" {
		return path.Join(dir, s.dir)
	}
	return ""
}
