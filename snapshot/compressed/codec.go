package compressed

import (
	"bytes"
	"compress/bzip2"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/snapview/snapview/snapshot/inflate"
	"github.com/snapview/snapview/snapshot/lz4frame"
	"github.com/snapview/snapview/snapshot/spans"
)

// maxWindow bounds the memory that decoding zstd takes: what zstd --long=27
// and pg_basebackup use at most.
const maxWindow = 128 << 20

// A codec is a compression. One with spans is read where it lies, by an index
// of restarts; a file of another is copied into the cache in a form that can
// be read at random.
type codec struct {
	name  string
	magic string

	first spans.Restart
	walk  func(r io.Reader, p *spans.Pipe) error
	span  spans.Codec // nil for a codec without spans

	open func(r io.Reader) (io.ReadCloser, error) // of a codec without spans
}

// what says what the cache keeps of a file. It is part of the key: a new
// format of the cache needs a new name.
func (c *codec) what() string {
	if c.span != nil {
		return "index of " + c.name
	}
	return "seekable copy of " + c.name
}

var codecs = []codec{
	{name: "gzip", magic: "\x1f\x8b", first: inflate.First, walk: inflate.Walk, span: inflate.Span},
	{name: "lz4", magic: "\x04\x22\x4d\x18", first: lz4frame.First, walk: lz4frame.Walk, span: lz4frame.Span},
	{name: "zstd", magic: "\x28\xb5\x2f\xfd", open: func(r io.Reader) (io.ReadCloser, error) {
		d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}},
	{name: "bzip2", magic: "BZh", open: func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
	{name: "xz", magic: "\xfd7zXZ\x00", open: func(r io.Reader) (io.ReadCloser, error) {
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
