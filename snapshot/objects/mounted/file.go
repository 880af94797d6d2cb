package mounted

import (
	"context"
	"errors"
	"io"
	"syscall"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/objects"
)

// piece is how much one read asks the kernel for.
const piece = 256 << 10

// A file is read in ranges that can be given up.
type file struct{ *hostdir.Direct }

var _ objects.Ranged = (*file)(nil)

// Range implements objects.Ranged.
func (f *file) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	return &body{ctx: ctx, file: f, off: off, left: n}, nil
}

// A body is a range as it is read.
type body struct {
	ctx  context.Context
	file *file
	off  int64
	left int64  // bytes not read yet
	rest []byte // bytes read and not given yet
}

// An answer is what a read brought.
type answer struct {
	data []byte
	err  error
}

func (b *body) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if b.left == 0 {
			return 0, io.EOF
		}
		if err := b.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// next reads the next piece. When the context ends first, the read is left to
// itself: the kernel cannot be told to end it.
func (b *body) next() error {
	done := make(chan answer, 1)
	buf, off := make([]byte, min(piece, b.left)), b.off
	go func() {
		n, err := b.file.ReadAt(buf, off)
		if n == len(buf) {
			err = nil
		}
		done <- answer{buf[:n], err}
	}()
	var a answer
	select {
	case a = <-done:
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
	switch {
	case errors.Is(a.err, io.EOF):
		return snapshot.Errorf(snapshot.ErrDamaged, "%s ends after %d bytes and had %d when it was found", b.file, off+int64(len(a.data)), b.file.Size())
	case passes(a.err):
		return objects.Passing(a.err)
	case a.err != nil:
		return a.err
	}
	b.rest = a.data
	b.off, b.left = b.off+int64(len(a.data)), b.left-int64(len(a.data))
	return nil
}

func (b *body) Close() error { return nil }

// passes says whether an error of the kernel is one of the network's.
func passes(err error) bool {
	for _, e := range []syscall.Errno{
		syscall.ETIMEDOUT, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.ECONNABORTED, syscall.EHOSTUNREACH,
		syscall.EHOSTDOWN, syscall.ENETUNREACH, syscall.ENETDOWN, syscall.ENETRESET, syscall.EAGAIN,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
