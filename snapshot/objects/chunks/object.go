package chunks

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"time"

	"github.com/snapview/snapview/snapshot/objects"
)

// An object of the inner store, read in chunks.
type object struct {
	store   *Store
	in      objects.Object
	ranged  objects.Ranged // in, if it is one
	name    string         // for errors
	size    int64
	disk    *disk // nil: not kept on disk
	tagged  bool  // version is the content's, not only this object's
	version [sha256.Size]byte
	id      int64
	streams streams
}

var (
	_ objects.Object    = (*object)(nil)
	_ objects.Versioned = (*object)(nil)
)

func (o *object) Size() int64        { return o.size }
func (o *object) Changed() time.Time { return o.in.Changed() }
func (o *object) String() string     { return o.name }

// Version implements objects.Versioned.
func (o *object) Version() (version [sha256.Size]byte, ok bool) { return o.version, o.tagged }

// length returns the size of chunk n.
func (o *object) length(n int64) int { return int(min(chunkSize, o.size-n*chunkSize)) }

// batch is how many chunks one read asks for at a time.
const batch = 4 * maxRun

// ReadAt implements io.ReaderAt.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case off < 0:
		return 0, errors.New("negative offset")
	case off >= o.size:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	if !o.store.enter() {
		return 0, os.ErrClosed
	}
	defer o.store.leave()
	var end error
	if int64(len(p)) > o.size-off {
		p, end = p[:o.size-off], io.EOF
	}
	ahead, n := o.streams.read(off, int64(len(p)))
	done := 0
	for done < len(p) {
		at := off + int64(done)
		first := at / chunkSize
		last := min((off+int64(len(p))-1)/chunkSize, first+batch-1)
		slots := o.demand(first, last, len(p) < pageSize || n > 0)
		if n > 0 { // after what is waited for
			o.Prefetch(ahead, n)
			n = 0
		}
		for i, s := range slots {
			data, err := o.chunk(first+int64(i), s)
			if err != nil {
				return done, err
			}
			at = off + int64(done)
			done += copy(p[done:], data[at-(first+int64(i))*chunkSize:])
		}
	}
	return done, end
}

// A slot is a chunk that is there, or the flight that brings it.
type slot struct {
	data []byte
	f    *flight
}

// chunk waits for a chunk, and asks again if it could not be had.
func (o *object) chunk(n int64, s slot) (data []byte, err error) {
	if s.data != nil {
		return s.data, nil
	}
	err = o.store.retry(o.store.ctx, func(ctx context.Context) error {
		for {
			if s.data == nil && s.f == nil {
				s = o.demand(n, n, false)[0]
			}
			if s.data != nil {
				data = s.data
				return nil
			}
			select {
			case <-s.f.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			f := s.f
			s = slot{}
			if errors.Is(f.err, errDropped) {
				continue
			}
			data = f.data
			return f.err
		}
	})
	return data, err
}

// Prefetch implements objects.Object: the range comes into memory if it is not
// there and not too much is being read ahead already.
func (o *object) Prefetch(off, n int64) {
	if off < 0 || n <= 0 || off >= o.size || !o.store.enter() {
		return
	}
	defer o.store.leave()
	first := off / chunkSize
	last := min((min(off+n, o.size)-1)/chunkSize, first+maxAhead/chunkSize)
	started := o.begin(first, last)
	for len(started) > 0 {
		run := contiguous(started)
		started = started[len(run):]
		select {
		case o.store.aheads <- struct{}{}:
		default:
			o.fail(run, errDropped)
			continue
		}
		o.store.spawn(func() {
			defer func() { <-o.store.aheads }()
			o.fetch(o.fromDisk(run))
		})
	}
}
