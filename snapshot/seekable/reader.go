package seekable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/klauspost/compress/zstd"
)

// ErrDamaged is in the chain of errors about a file that Write did not write,
// or that was changed since.
var ErrDamaged = errors.New("damaged seekable file")

// A Reader reads data that Write wrote. It implements io.ReaderAt and may be
// used by many goroutines at once.
type Reader struct {
	r    io.ReaderAt
	tag  []byte
	size int64
	at   []int64 // offset of each frame in the file, and the end
	data []int64 // offset of each frame's data, and the end

	dec    *zstd.Decoder
	frames *lru.Cache[int, *frame]
}

// A frame is decoded once, by whoever needs it first.
type frame struct {
	once sync.Once
	data []byte
	err  error
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// NewReader reads the table of the file in r, which has size bytes, and keeps
// up to cached decoded frames in memory.
func NewReader(r io.ReaderAt, size int64, cached int) (*Reader, error) {
	le := binary.LittleEndian
	get := func(off int64, n int) ([]byte, error) {
		if off < 0 || off+int64(n) > size {
			return nil, damaged("cut short")
		}
		b := make([]byte, n)
		k, err := r.ReadAt(b, off)
		if k < n {
			return nil, errors.Join(damaged("cut short"), err)
		}
		return b, nil
	}
	head, err := get(0, 8)
	if err != nil {
		return nil, err
	}
	n := le.Uint32(head[4:])
	if le.Uint32(head) != tagMagic || n > maxTag {
		return nil, damaged("no tag")
	}
	s := &Reader{r: r}
	if s.tag, err = get(8, int(n)); err != nil {
		return nil, err
	}
	foot, err := get(size-footSize, footSize)
	if err != nil {
		return nil, err
	}
	frames := int64(le.Uint32(foot))
	if le.Uint32(foot[5:]) != footMagic || foot[4] != 0 || frames > maxFrames || frames*entrySize > size {
		return nil, damaged("no seek table")
	}
	start := size - footSize - frames*entrySize - 8
	mark, err := get(start-12, 20)
	if err != nil {
		return nil, err
	}
	table, err := get(start+8, int(frames*entrySize))
	if err != nil {
		return nil, err
	}
	if le.Uint32(mark[12:]) != tableMagic || le.Uint32(mark[8:]) != crc32.ChecksumIEEE(table) {
		return nil, damaged("its seek table does not match its checksum")
	}
	at, data := 8+int64(n), int64(0)
	for i := range frames {
		s.at, s.data = append(s.at, at), append(s.data, data)
		at += int64(le.Uint32(table[entrySize*i:]))
		d := int64(le.Uint32(table[entrySize*i+4:]))
		if d > FrameSize || d == 0 {
			return nil, damaged("frame %d of %d bytes", i, d)
		}
		data += d
	}
	s.at, s.data, s.size = append(s.at, at), append(s.data, data), data
	if at != start-12 {
		return nil, damaged("its frames end at %d, not at %d", at, start-12)
	}
	if s.frames, err = lru.New[int, *frame](max(cached, 2)); err != nil {
		return nil, err
	}
	s.dec, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(FrameSize), zstd.WithDecoderConcurrency(0))
	return s, err
}

// Size returns how many bytes of data there are.
func (s *Reader) Size() int64 { return s.size }

// Tag returns what Write was given.
func (s *Reader) Tag() []byte { return s.tag }

// Close frees memory; it does not close the file.
func (s *Reader) Close() error {
	s.dec.Close()
	s.frames.Purge()
	return nil
}

// frame returns the data of frame i.
func (s *Reader) frame(i int) ([]byte, error) {
	f := &frame{}
	if old, ok, _ := s.frames.PeekOrAdd(i, f); ok {
		f = old
		s.frames.Get(i) // mark as used
	}
	f.once.Do(func() {
		raw := make([]byte, s.at[i+1]-s.at[i])
		if n, err := s.r.ReadAt(raw, s.at[i]); n < len(raw) {
			f.err = fmt.Errorf("frame %d: %w", i, err)
			return
		}
		want := int(s.data[i+1] - s.data[i])
		f.data, f.err = s.dec.DecodeAll(raw, make([]byte, 0, want))
		if f.err != nil || len(f.data) != want {
			f.err = errors.Join(damaged("frame %d", i), f.err)
		}
	})
	if f.err != nil {
		s.frames.Remove(i) // a passing error of the disk is tried again
	}
	return f.data, f.err
}

// ReadAt implements io.ReaderAt.
func (s *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("seekable: negative offset")
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at >= s.size {
			return done, io.EOF
		}
		i := sort.Search(len(s.data), func(i int) bool { return s.data[i] > at }) - 1
		b, err := s.frame(i)
		if err != nil {
			return done, err
		}
		done += copy(p[done:], b[at-s.data[i]:])
	}
	return done, nil
}
