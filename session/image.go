package session

import (
	"context"
	"fmt"
	"io"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/cow"
)

// A DiskImage is the disk of a checkpoint, to be read and copied while the
// session goes on. It is safe for concurrent use. Reading fails once the
// session is closed, or the context that it was opened with is done.
type DiskImage struct {
	view    *cow.View
	disk    *sharedDisk
	ctx     context.Context
	session *Session
}

var _ cow.Source = (*DiskImage)(nil)

// OpenDisk opens the disk of a checkpoint; the zero LayerID is the backup's own
// disk. The caller closes it.
func (s *Session) OpenDisk(ctx context.Context, id cow.LayerID) (*DiskImage, error) {
	p, state := s.get()
	if state != Ready || p.laidOut == nil || p.store == nil {
		return nil, ErrNotReady
	}
	d := p.laidOut
	if err := checkSealed(p.store, id); err != nil {
		return nil, err
	}
	if err := d.use(); err != nil {
		return nil, ErrNotReady
	}
	view, err := d.store.View(id, d.below())
	if err != nil {
		d.release() //nolint:errcheck // the session's own use is left
		return nil, err
	}
	return &DiskImage{view: view, disk: d, ctx: ctx, session: s}, nil
}

// Close lets go of the disk. It is called once.
func (i *DiskImage) Close() error {
	err := i.view.Close()
	if released := i.disk.release(); err == nil {
		err = released
	}
	return err
}

// Size returns the disk's size in bytes.
func (i *DiskImage) Size() int64 { return i.view.Size() }

// ReadAt implements io.ReaderAt.
func (i *DiskImage) ReadAt(p []byte, off int64) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	if i.session.life.Err() != nil {
		return 0, fmt.Errorf("session %s was closed", i.session.id)
	}
	return i.view.ReadAt(p, off)
}

// Extents implements block.ExtentMapper.
func (i *DiskImage) Extents(off, n int64, yield func(block.Extent) bool) error {
	return i.view.Extents(off, n, yield)
}

// Data calls yield for the ranges that may hold something but zeros, in order,
// until it returns false. Gaps of less than 64 KiB are part of a range.
func (i *DiskImage) Data(yield func(off, n int64) bool) error {
	const smallest = 64 << 10
	var first, end int64
	more := true
	err := i.view.Extents(0, i.Size(), func(e block.Extent) bool {
		if e.State&block.ExtentZero != 0 {
			return true
		}
		if end > first && e.Offset-end >= smallest {
			more = yield(first, end-first)
			first = e.Offset
		} else if end == first {
			first = e.Offset
		}
		end = e.Offset + e.Length
		return more
	})
	if err == nil && more && end > first {
		yield(first, end-first)
	}
	return err
}

// WriteQcow2 writes the disk as a qcow2 image, from its first byte to its last.
func (i *DiskImage) WriteQcow2(w io.Writer) error { return cow.ExportQcow2(w, i) }
