package compressed

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"github.com/snapview/snapview/snapshot"
)

// maxWindow bounds the memory that decoding zstd takes: what zstd --long=27
// and pg_basebackup use at most.
const maxWindow = 128 << 20

// A codec decompresses a stream.
type codec struct {
	name  string
	magic string
	open  func(r io.Reader) (io.ReadCloser, error)
}

var codecs = []codec{
	{"gzip", "\x1f\x8b", func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }},
	{"lz4", "\x04\x22\x4d\x18", func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(lz4.NewReader(r)), nil }},
	{"zstd", "\x28\xb5\x2f\xfd", func(r io.Reader) (io.ReadCloser, error) {
		d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}},
	{"bzip2", "BZh", func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
	{"xz", "\xfd7zXZ\x00", func(r io.Reader) (io.ReadCloser, error) {
		x, err := xz.ReaderConfig{DictCap: 8 << 20}.NewReader(r)
		return io.NopCloser(x), err
	}},
}

// Codec returns the name of the compression that a file beginning with head
// has, or "".
func Codec(head []byte) string {
	if c := find(head); c != nil {
		return c.name
	}
	return ""
}

func find(head []byte) *codec {
	for i, c := range codecs {
		if bytes.HasPrefix(head, []byte(c.magic)) {
			return &codecs[i]
		}
	}
	return nil
}

// Bounds on what a file may expand to. Deflate expands to 1032 times its size
// at most; a backup of zeros may be such a file, so small ones are let through.
const (
	maxRatio  = 2000
	freeRatio = 4 << 30 // bytes of output that are not questioned
	maxOutput = 1 << 47 // bytes
)

// guard is a reader that ends a stream which expands beyond reason, and names
// the file in errors.
type guard struct {
	r    io.Reader
	name string
	in   func() int64 // compressed bytes read so far
	out  int64
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.r.Read(p)
	g.out += int64(n)
	switch {
	case g.out > maxOutput, g.out > freeRatio && g.out/maxRatio > g.in():
		return n, snapshot.Errorf(snapshot.ErrUnsafe, "%s expands to more than %d bytes from %d: this is no backup", g.name, g.out, g.in())
	case err != nil && !errors.Is(err, io.EOF):
		err = g.classify(err)
	}
	return n, err
}

// A hostError is one of reading the compressed file, as opposed to one of what
// it holds.
type hostError struct{ error }

func (e hostError) Unwrap() error { return e.error }

func (g *guard) classify(err error) error {
	if h := (hostError{}); errors.As(err, &h) {
		return h.error
	}
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return snapshot.Errorf(snapshot.ErrUnsupported, "%s was compressed with a window of more than %d MiB (zstd --long): compress it without", g.name, maxWindow>>20)
	}
	what := "is damaged"
	if errors.Is(err, io.ErrUnexpectedEOF) {
		what = "is cut short"
	}
	return snapshot.Errorf(snapshot.ErrDamaged, "%s %s, %d bytes into what it holds: %w", g.name, what, g.out, err)
}

// decompress opens the stream of a compressed file whose bytes r gives.
func decompress(r io.Reader, c *codec, name string, in func() int64) (io.ReadCloser, error) {
	g := &guard{name: name, in: in}
	d, err := c.open(r)
	if err != nil {
		return nil, g.classify(fmt.Errorf("%s: %w", c.name, err))
	}
	g.r = d
	return struct {
		io.Reader
		io.Closer
	}{g, d}, nil
}
