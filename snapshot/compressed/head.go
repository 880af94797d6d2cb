package compressed

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Head returns the first bytes of what a file holds, at most n, decompressed
// if they are compressed. Nothing is kept.
func Head(f io.Reader, n int) ([]byte, error) {
	r, err := Stream(f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	head := make([]byte, n)
	k, err := io.ReadFull(r, head)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil // shorter, or cut short: what there is
	}
	return head[:k], err
}

// Stream returns what a file holds from its beginning to its end, decompressed
// if it is compressed. Closing it leaves the file open.
func Stream(f io.Reader) (io.ReadCloser, error) {
	start := make([]byte, headSize)
	k, err := io.ReadFull(f, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	r := io.MultiReader(bytes.NewReader(start[:k]), f)
	if c := find(start[:k]); c != nil {
		return c.stream(r)
	}
	return io.NopCloser(r), nil
}

// stream decompresses forwards, for codecs with spans too.
func (c *codec) stream(r io.Reader) (io.ReadCloser, error) {
	switch c.name {
	case "gzip":
		return gzip.NewReader(r)
	case "lz4":
		return io.NopCloser(lz4.NewReader(r)), nil
	case "zstd":
		d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return c.open(r)
}
