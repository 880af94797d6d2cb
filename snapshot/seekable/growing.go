package seekable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/klauspost/compress/zstd"
)

// A Growing file is written frame by frame and can be read meanwhile, as far as
// it was written. Reads may run at the same time; Append and Finish must run
// alone.
type Growing struct {
	Reader
	w     io.Writer
	table []byte
	ended bool // the last frame was a short one, or the table is written
}

// encoder is shared: it holds no state between frames.
var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(true),
		zstd.WithWindowSize(FrameSize), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
})

// NewGrowing starts a file in f, which is empty and is written from its
// beginning. tag and cached are those of Write and NewReader.
func NewGrowing(f interface {
	io.Writer
	io.ReaderAt
}, tag []byte, cached int) (*Growing, error) {
	if len(tag) > maxTag {
		return nil, fmt.Errorf("seekable: tag of %d bytes", len(tag))
	}
	head := binary.LittleEndian.AppendUint32(nil, tagMagic)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(tag)))
	if _, err := f.Write(append(head, tag...)); err != nil {
		return nil, err
	}
	g := &Growing{w: f, Reader: Reader{r: f, tag: tag, at: []int64{int64(8 + len(tag))}, data: []int64{0}}}
	var err error
	if g.frames, err = lru.New[int, *frame](max(cached, 2)); err != nil {
		return nil, err
	}
	g.dec, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(FrameSize), zstd.WithDecoderConcurrency(0))
	return g, err
}

// Append writes the next frame. All but the last have FrameSize bytes.
func (g *Growing) Append(data []byte) error {
	if g.ended || len(data) == 0 || len(data) > FrameSize || len(g.data) > maxFrames {
		return errors.New("seekable: a frame of an impossible size, or after the last")
	}
	enc, err := encoder()
	if err != nil {
		return err
	}
	frame := enc.EncodeAll(data, nil)
	if _, err := g.w.Write(frame); err != nil {
		g.ended = true // half a frame may be there
		return err
	}
	g.ended = len(data) < FrameSize
	g.table = binary.LittleEndian.AppendUint32(g.table, uint32(len(frame)))
	g.table = binary.LittleEndian.AppendUint32(g.table, uint32(len(data)))
	g.at = append(g.at, g.at[len(g.at)-1]+int64(len(frame)))
	g.size += int64(len(data))
	g.data = append(g.data, g.size)
	return nil
}

// Finish writes the seek table: NewReader reads the file from then on.
func (g *Growing) Finish() error {
	g.ended = true
	return writeTable(g.w, g.table)
}
