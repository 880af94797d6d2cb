package tars

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"path"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/compressed"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/tarindex"
)

// maxLabel bounds a backup_label, in bytes.
const maxLabel = 64 << 10

// errFound ends a scan.
var errFound = errors.New("found")

// Label reads the backup_label of the tars at a place, without scanning them:
// pg_basebackup makes it the first member. The error wraps fs.ErrNotExist if
// it is not that.
func Label(ctx context.Context, p Place) (*snapshot.Label, error) {
	name := p.Name
	if p.Folder {
		list, err := p.Store.List(ctx, p.Name)
		if err != nil {
			return nil, err
		}
		base, err := baseOf(list)
		if err != nil {
			return nil, err
		}
		name = path.Join(p.Name, base)
	}
	f, err := p.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	text, err := labelOf(ctx, f, name)
	if err != nil {
		return nil, err
	}
	return snapshot.ParseLabel(text)
}

// baseOf returns the name of a folder's tar with the data directory.
func baseOf(list []objects.Entry) (string, error) {
	for _, e := range list {
		if role, ok := Role(e.Name); ok && role == Base && !e.Dir {
			return e.Name, nil
		}
	}
	return "", fs.ErrNotExist
}

// labelOf reads the first member of a tar, compressed or not.
func labelOf(ctx context.Context, f objects.Object, name string) (text []byte, err error) {
	head, err := compressed.Head(io.NewSectionReader(f, 0, f.Size()), maxLabel+4<<10)
	if err != nil {
		return nil, err
	}
	_, err = tarindex.Scan(ctx, bytes.NewReader(head), math.MaxInt64/2, name, func(m tarindex.Member) error {
		if m.Name == "." {
			return nil
		}
		if m.Name != "backup_label" || m.Type != tarindex.File || m.Size > maxLabel {
			return fs.ErrNotExist
		}
		text = make([]byte, m.Size)
		if _, err := m.Content(bytes.NewReader(head)).ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return errFound
	})
	if !errors.Is(err, errFound) {
		return nil, errors.Join(err, fs.ErrNotExist)
	}
	return text, nil
}
