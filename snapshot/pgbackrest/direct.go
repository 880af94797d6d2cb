package pgbackrest

import (
	"io"
	"sync"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/pgbackrest/cipher"
)

// direct is a file stored uncompressed: reads go to the object, through the
// cipher if need be.
type direct struct {
	v    *vault
	p    piece
	size int64

	mu sync.Mutex
	r  io.ReaderAt // once it was opened
}

func (d *direct) open() (io.ReaderAt, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.r != nil {
		return d.r, nil
	}
	obj, err := d.v.section(d.p)
	if err != nil {
		return nil, err
	}
	var r io.ReaderAt = io.NewSectionReader(obj, d.p.off, d.p.size)
	held := d.p.size
	if d.p.key != nil {
		f, err := cipher.Open(r, d.p.size, d.p.key)
		if err != nil {
			return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s: %w", d.p, err)
		}
		r, held = f, f.Size()
	}
	if held != d.size {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s holds %d bytes, not %d", d.p, held, d.size)
	}
	d.r = r
	return r, nil
}

func (d *direct) ReadAt(p []byte, off int64) (int, error) {
	r, err := d.open()
	if err != nil {
		return 0, err
	}
	return r.ReadAt(p, off)
}

// Prefetch passes the hint on; the cipher's header moves it by some bytes,
// which does not matter.
func (d *direct) Prefetch(off, n int64) {
	if obj, err := d.v.section(d.p); err == nil {
		obj.Prefetch(d.p.off+off, min(n, d.p.size-off))
	}
}

// small is a file that is decoded whole when it is read.
type small struct {
	v    *vault
	p    piece
	size int64
	sum  *[20]byte // nil: not recorded
}

func (s *small) ReadAt(p []byte, off int64) (int, error) {
	b, err := s.v.whole(s.p, s.size, s.sum)
	if err != nil {
		return 0, err
	}
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// content returns the content of a piece that holds a file of size bytes.
func (v *vault) content(p piece, size, wholeLimit int64, sum *[20]byte) snapshot.Content {
	switch {
	case size == 0:
		return snapshot.Bytes(nil)
	case p.plain() && size > plainLimit, p.codec.open == nil && size > wholeLimit:
		return &direct{v: v, p: p, size: size}
	case size <= wholeLimit:
		return &small{v: v, p: p, size: size, sum: sum}
	default:
		return newStream(v, p, size, sum)
	}
}
