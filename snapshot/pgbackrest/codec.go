package pgbackrest

import (
	"bufio"
	"compress/bzip2"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/snapview/snapview/snapshot"
)

// maxWindow bounds the memory that decoding zstd takes; pgBackRest's levels
// need 128 MiB at most.
const maxWindow = 128 << 20

// A codec is a way of compressing; open is nil for none.
type codec struct {
	name   string
	suffix string
	open   func(r *bufio.Reader) (io.ReadCloser, error)
}

var codecs = []codec{
	{name: "none"},
	{"gz", ".gz", openGzip},
	{"lz4", ".lz4", func(r *bufio.Reader) (io.ReadCloser, error) { return io.NopCloser(lz4.NewReader(r)), nil }},
	{"zst", ".zst", func(r *bufio.Reader) (io.ReadCloser, error) {
		d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}},
	{"bz2", ".bz2", func(r *bufio.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
}

// openGzip opens gzip, or zlib, which is what pgBackRest writes in bundles and
// super blocks.
func openGzip(r *bufio.Reader) (io.ReadCloser, error) {
	if head, err := r.Peek(2); err == nil && head[0] != 0x1f {
		return zlib.NewReader(r)
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return z, nil
}

// findCodec returns the codec that a manifest names.
func findCodec(name string) (*codec, error) {
	for i := range codecs {
		if codecs[i].name == name {
			return &codecs[i], nil
		}
	}
	return nil, snapshot.Errorf(snapshot.ErrUnsupported, "files are compressed with %.40q, which this build does not know", name)
}

// codecOf returns the codec of a file in the archive, by what is behind its
// checksum.
func codecOf(suffix string) (*codec, bool) {
	for i := range codecs {
		if codecs[i].suffix == suffix {
			return &codecs[i], true
		}
	}
	return nil, false
}

// readFull is io.ReadFull that tells an end at a boundary from nothing at all:
// the end of a stream is io.EOF itself, its error otherwise.
func readFull(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = r.Read(p[n:])
		n += k
	}
	if n == len(p) && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
