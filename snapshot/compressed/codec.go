package compressed

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/ulikunitz/xz"

	"github.com/snapview/snapview/snapshot/inflate"
	"github.com/snapview/snapview/snapshot/lz4frame"
	"github.com/snapview/snapview/snapshot/spans"
	"github.com/snapview/snapview/snapshot/zstdframe"
)

// maxWindow bounds the memory that decoding takes, in bytes: what zstd --long=27
// and pg_basebackup use at most.
const maxWindow = zstdframe.MaxWindow

// snappyBlock is what a chunk of the framing format of snappy holds at most
// (google/snappy, framing_format.txt, 4.2), bytes.
const snappyBlock = 64 << 10

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
	{name: "zstd", magic: "\x28\xb5\x2f\xfd", first: zstdframe.First, walk: zstdframe.Walk, span: zstdframe.Span},
	{name: "bzip2", magic: "BZh", open: func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
	{name: "xz", magic: "\xfd7zXZ\x00", open: openXZ},
	{name: "snappy", magic: "\xff\x06\x00\x00sNaPpY", open: func(r io.Reader) (io.ReadCloser, error) {
		return io.NopCloser(s2.NewReader(r, s2.ReaderMaxBlockSize(snappyBlock))), nil
	}},
}

// errWindow means that an xz stream's dictionary is larger than maxWindow.
var errWindow = errors.New("dictionary of an xz stream is too large")

// openXZ opens an xz stream whose dictionary is of a size that xz -9 has at
// most, twice over. The decoder allocates what the header of a block says.
func openXZ(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReader(r)
	head, err := b.Peek(xzHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if xzDictionary(head) > maxWindow {
		return nil, errWindow
	}
	x, err := xz.ReaderConfig{DictCap: 8 << 20}.NewReader(b)
	return io.NopCloser(x), err
}

const xzHead = 64

// xzDictionary returns the size of the dictionary of an xz file's first block,
// 0 if the head does not tell (The .xz File Format, 2.1 and 3.1; LZMA2's
// properties, 5.3.1).
func xzDictionary(head []byte) int64 {
	const streamHeader, idLZMA2 = 12, 0x21
	if len(head) < xzHead || head[streamHeader] == 0 { // no block
		return 0
	}
	flags, at := head[streamHeader+1], streamHeader+2
	for _, flag := range []byte{0x40, 0x80} { // sizes, as numbers of 7 bits a byte
		for flags&flag != 0 && at < xzHead-3 {
			at++
			if head[at-1]&0x80 == 0 {
				break
			}
		}
	}
	if flags&3 != 0 || at > xzHead-3 || head[at] != idLZMA2 || head[at+1] != 1 || head[at+2] > 40 {
		return 0
	}
	bits := head[at+2]
	return int64(2|bits&1) << (bits/2 + 11)
}

// headSize is how many bytes tell a compression.
const headSize = 16

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
