package codec

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// lz4Readers have buffers of several MiB, too much to make for every blob.
var lz4Readers = sync.Pool{New: func() any { return lz4.NewReader(nil) }}

type lz4Reader struct{ *lz4.Reader }

func (r lz4Reader) Close() error {
	r.Reset(nil)
	lz4Readers.Put(r.Reader)
	return nil
}

func openLZ4(r io.Reader) (io.ReadCloser, error) {
	z := lz4Readers.Get().(*lz4.Reader)
	z.Reset(r)
	return lz4Reader{z}, nil
}

// A frame's header (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md).
const (
	lz4Magic         = 0x184d2204
	lz4Independent   = 1 << 5
	lz4BlockChecksum = 1 << 4
	lz4ContentSize   = 1 << 3
	lz4Dictionary    = 1 << 0
	lz4Stored        = 1 << 31 // of a block's length: it is not compressed
)

// errOtherFrame is an LZ4 frame that lz4Blocks leaves to the library.
var errOtherFrame = errors.New("an LZ4 frame of another kind")

// lz4Blocks decodes one LZ4 frame of independent blocks that is in memory,
// behind what dst has, up to limit bytes in all. The library's Reader needs
// 8 MiB of buffers for a frame with blocks of 4 MiB, even if it holds 300
// bytes, and copies what it decodes. Checksums are not looked at.
func lz4Blocks(dst, b []byte, limit int64) ([]byte, error) {
	if len(b) < 7 {
		return nil, io.ErrUnexpectedEOF
	}
	flags, kind := b[4], b[5]>>4&7
	if binary.LittleEndian.Uint32(b) != lz4Magic || flags>>6 != 1 || flags&lz4Independent == 0 || flags&lz4Dictionary != 0 || kind < 4 {
		return nil, errOtherFrame
	}
	block, at := int64(256<<(2*kind)), 7
	if flags&lz4ContentSize != 0 {
		at += 8
	}
	for {
		if len(b)-at < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		word := binary.LittleEndian.Uint32(b[at:])
		at += 4
		if word == 0 {
			return dst, nil
		}
		n := int64(word &^ lz4Stored)
		if n > int64(len(b)-at) {
			return nil, io.ErrUnexpectedEOF
		}
		data := b[at : at+int(n)]
		at += int(n)
		if flags&lz4BlockChecksum != 0 {
			at = min(at+4, len(b))
		}
		room := min(block, limit-int64(len(dst)))
		if word&lz4Stored != 0 {
			if n > room {
				return nil, errLong
			}
			dst = append(dst, data...)
			continue
		}
		// A byte of input gives 255 bytes of output at most, and mostly few.
		k, err := 0, error(nil)
		for _, size := range []int64{min(room, 4*n+256), min(room, 255*n)} {
			dst = grow(dst, int(size))
			if k, err = lz4.UncompressBlock(data, dst[len(dst):len(dst)+int(size)]); err == nil {
				break
			}
		}
		if err != nil {
			return nil, err
		}
		dst = dst[:len(dst)+k]
	}
}

// grow returns b with room for n bytes more.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	bigger := make([]byte, len(b), len(b)+n)
	copy(bigger, b)
	return bigger
}
