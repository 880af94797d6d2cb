package compressed

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/lz4frame"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/tarheaders"
	"github.com/snapview/snapview/snapshot/tarindex"
	"github.com/snapview/snapview/snapshot/zstdframe"
)

// Bounds on what a file may expand to. Deflate expands to 1032 times its size
// at most; a backup of zeros may be such a file, so small ones are let through.
const (
	maxRatio  = 2000
	freeRatio = 4 << 30 // bytes of output that are not questioned
	maxOutput = 1 << 47 // bytes
)

// Between two reports of progress lie this many compressed bytes, or this part
// of a larger file: who keeps them shall not be flooded.
const (
	progressStep  = 4 << 20
	progressSteps = 500
)

// A pass goes once over a compressed file. It is the reader of the file's
// bytes and the writer of what they hold.
type pass struct {
	ctx      context.Context
	f        objects.Object
	name     string
	codec    *codec
	progress func(snapshot.Progress)

	off  int64 // read of the file
	told int64 // of off, to progress

	out     int64 // bytes that came out
	head    []byte
	headers *tarheaders.Recorder
}

// Read reads the file forwards, tells how far it is, and ends when the context
// does.
func (s *pass) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, hostError{err}
	}
	if s.off >= s.f.Size() {
		return 0, io.EOF
	}
	n, err := s.f.ReadAt(p[:min(int64(len(p)), s.f.Size()-s.off)], s.off)
	s.off += int64(n)
	if s.progress != nil && (s.off-s.told >= max(progressStep, s.f.Size()/progressSteps) || s.off == s.f.Size()) {
		s.told = s.off
		s.progress(snapshot.Progress{Object: s.name, Done: s.off, Total: s.f.Size()})
	}
	if n > 0 || errors.Is(err, io.EOF) {
		return n, nil
	}
	return n, hostError{err}
}

// data takes what comes out, in order.
func (s *pass) data(p []byte) error {
	s.out += int64(len(p))
	// What was read is an upper bound of what this came from; the size of the
	// whole file is one that the decoder's goroutine does not change.
	if s.out > maxOutput || s.out > freeRatio && s.out/maxRatio > s.f.Size() {
		return snapshot.Errorf(snapshot.ErrUnsafe, "%s expands to more than %d bytes from %d: this is no backup", s.name, s.out, s.f.Size())
	}
	if n := tarBlock - len(s.head); n > 0 {
		s.head = append(s.head, p[:min(n, len(p))]...)
		if len(s.head) == tarBlock && !tarindex.IsTar(s.head) {
			return s.noTar()
		}
	}
	_, err := s.headers.Write(p)
	return err
}

const tarBlock = tarindex.BlockSize

func (s *pass) noTar() error {
	return snapshot.Errorf(snapshot.ErrNotABackup, "%s is compressed with %s, and what is in it is no tar", s.name, s.codec.name)
}

// A hostError is one of reading the compressed file, as opposed to one of what
// it holds.
type hostError struct{ error }

func (e hostError) Unwrap() error { return e.error }

// classify names the file in an error of decoding it.
func (s *pass) classify(err error) error {
	var class interface{ Unwrap() []error }
	switch h := (hostError{}); {
	case errors.As(err, &h):
		return h.error
	case errors.As(err, &class): // one of ours
		return err
	case errors.Is(err, zstdframe.ErrWindow), errors.Is(err, errWindow):
		return snapshot.Errorf(snapshot.ErrUnsupported, "%s was compressed with a window of more than %d MiB (zstd --long, xz --lzma2=dict=): compress it without", s.name, maxWindow>>20)
	case errors.Is(err, lz4frame.ErrUnsupported), errors.Is(err, zstdframe.ErrUnsupported):
		return snapshot.Errorf(snapshot.ErrUnsupported, "%s: %w", s.name, err)
	}
	what := "is damaged"
	if errors.Is(err, io.ErrUnexpectedEOF) {
		what = "is cut short"
	}
	return snapshot.Errorf(snapshot.ErrDamaged, "%s %s, %d bytes into what it holds: %w", s.name, what, s.out, err)
}

// decoded reads what comes out of a codec without spans, lets the pass see it,
// and classifies errors.
type decoded struct {
	r io.ReadCloser
	s *pass
}

// decode opens the stream of a codec without spans.
func (s *pass) decode() (*decoded, error) {
	r, err := s.codec.open(s)
	if err != nil {
		return nil, s.classify(fmt.Errorf("%s: %w", s.codec.name, err))
	}
	return &decoded{r, s}, nil
}

func (d *decoded) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = d.s.classify(err)
	}
	if bad := d.s.data(p[:n]); bad != nil {
		err = bad
	}
	return n, err
}
