// Package seekable writes and reads a stream as Zstandard frames of 128 KiB
// with a seek table, the "Zstandard Seekable Format" (facebook/zstd,
// contrib/seekable_format): any zstd can decompress the file as a whole, and
// this package reads any byte of it by decoding one frame.
//
// Before the frames stands a skippable frame with a tag that the writer
// chooses, to tell what the file was made from. Every frame carries the
// checksum of its content, the table its own.
package seekable

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// FrameSize is how much data a frame holds, in bytes.
	FrameSize = 128 << 10

	tagMagic   = 0x184D2A50 // skippable frame: the tag
	tableMagic = 0x184D2A5E // skippable frame: the seek table
	footMagic  = 0x8F92EAB1
	footSize   = 9
	maxTag     = 4 << 10
	maxFrames  = 1 << 30 // 128 TiB of data
	entrySize  = 8
)

// Write compresses r to w and returns how many bytes r had. It uses all cores.
// Memory is bounded by some frames for each core.
func Write(w io.Writer, r io.Reader, tag []byte) (size int64, err error) {
	if len(tag) > maxTag {
		return 0, fmt.Errorf("seekable: tag of %d bytes", len(tag))
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(true),
		zstd.WithWindowSize(FrameSize), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		return 0, err
	}
	defer enc.Close()
	head := binary.LittleEndian.AppendUint32(nil, tagMagic)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(tag)))
	if _, err := w.Write(append(head, tag...)); err != nil {
		return 0, err
	}

	// One goroutine reads, one for each frame compresses, this one writes in
	// order. The channel's capacity bounds how many frames are under way.
	type result struct {
		data chan *[]byte
		n    int
		err  error
	}
	// Buffers of frames, before and after; a fresh one costs as much as a
	// tenth of compressing it.
	var plain, packed sync.Pool
	buffer := func(p *sync.Pool, n int) *[]byte {
		if b, ok := p.Get().(*[]byte); ok {
			return b
		}
		b := make([]byte, n)
		return &b
	}
	queue := make(chan result, 2*runtime.GOMAXPROCS(0))
	stop := make(chan struct{})
	var running sync.WaitGroup // r and enc are not used after return
	defer running.Wait()
	defer close(stop)
	running.Go(func() {
		defer close(queue)
		for {
			buf := buffer(&plain, FrameSize)
			n, err := fill(r, *buf)
			res := result{n: n, err: err}
			if n > 0 {
				res.data = make(chan *[]byte, 1)
				running.Go(func() {
					out := buffer(&packed, FrameSize+FrameSize/64)
					*out = enc.EncodeAll((*buf)[:n], (*out)[:0])
					plain.Put(buf)
					res.data <- out
				})
			}
			select {
			case queue <- res:
			case <-stop:
				return
			}
			if err != nil {
				return
			}
		}
	})
	var table []byte
	for res := range queue {
		if res.n > 0 {
			frame := <-res.data
			if _, err := w.Write(*frame); err != nil {
				return size, err
			}
			table = binary.LittleEndian.AppendUint32(table, uint32(len(*frame)))
			packed.Put(frame)
			table = binary.LittleEndian.AppendUint32(table, uint32(res.n))
			size += int64(res.n)
		}
		if res.err != nil && res.err != io.EOF {
			return size, res.err
		}
		if len(table)/entrySize > maxFrames {
			return size, fmt.Errorf("seekable: more than %d frames", maxFrames)
		}
	}
	return size, writeTable(w, table)
}

// fill reads until buf is full. Its error is io.EOF itself at the end of r and
// nothing else: an error of r that wraps io.ErrUnexpectedEOF, a compressed
// stream cut short, is not an end. (io.ReadFull would make the two alike.)
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var k int
		k, err = r.Read(buf[n:])
		n += k
	}
	return n, err
}

// writeTable writes the seek table's frame. The format has no place for a
// checksum of the table itself; it goes into a skippable frame of its own
// before it.
func writeTable(w io.Writer, table []byte) error {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, tagMagic)
	b = le.AppendUint32(b, 4)
	b = le.AppendUint32(b, crc32.ChecksumIEEE(table))
	b = le.AppendUint32(b, tableMagic)
	b = le.AppendUint32(b, uint32(len(table)+footSize))
	b = append(b, table...)
	b = le.AppendUint32(b, uint32(len(table)/entrySize))
	b = append(b, 0) // descriptor: no checksums in the table
	b = le.AppendUint32(b, footMagic)
	_, err := w.Write(b)
	return err
}
