package spans

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// ErrIndex is in the chain of errors about an index that Build did not write,
// or that was changed since.
var ErrIndex = errors.New("damaged index")

// ErrChanged is in the chain of errors about a compressed file that is not what
// it was when the index was made.
var ErrChanged = errors.New("the file is not what its index was made from")

// A Codec decodes n bytes of output from one restart on, up to another, given
// the window of the first. It reads the file, which has size bytes, only where
// the span lies. It must bound what it allocates by n.
type Codec func(file io.ReaderAt, size int64, from, to Restart, window []byte, n int) ([]byte, error)

// A File is what an index is about.
type File struct {
	Data  io.ReaderAt
	Size  int64 // bytes
	Codec Codec
}

// A Reader reads the data of a compressed file at random. It implements
// io.ReaderAt and may be used by many goroutines at once.
type Reader struct {
	index io.ReaderAt
	file  File
	tag   []byte
	size  int64
	table []byte // checked
	spans int
	last  Restart
	dec   *zstd.Decoder
	cache *Cache

	latest atomic.Int64 // the span read last

	mu      sync.Mutex // guards closed
	closed  bool
	running sync.WaitGroup // of the background
	ahead   chan struct{}  // bounds it
}

func badIndex(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrIndex, fmt.Sprintf(format, args...))
}

// NewReader reads the table of an index of size bytes. Decoded spans are kept
// in cache.
func NewReader(index io.ReaderAt, size int64, file File, cache *Cache) (*Reader, error) {
	le := binary.LittleEndian
	get := func(off, n int64) ([]byte, error) {
		if off < 0 || n < 0 || off > size-n {
			return nil, badIndex("cut short")
		}
		b := make([]byte, n)
		if k, err := index.ReadAt(b, off); int64(k) < n {
			return nil, errors.Join(badIndex("cut short"), err)
		}
		return b, nil
	}
	top, err := get(0, int64(len(head)+4))
	if err != nil {
		return nil, err
	}
	n := le.Uint32(top[len(head):])
	if string(top[:len(head)]) != head || n > maxTag {
		return nil, badIndex("it begins with something else")
	}
	r := &Reader{index: index, file: file, cache: cache, ahead: make(chan struct{}, 2)}
	if r.tag, err = get(int64(len(top)), int64(n)); err != nil {
		return nil, err
	}
	tail, err := get(size-int64(footSize), int64(footSize))
	if err != nil {
		return nil, err
	}
	at, spans := le.Uint64(tail), le.Uint64(tail[8:])
	r.size = int64(le.Uint64(tail[16:]))
	r.last = Restart{int64(le.Uint64(tail[24:])), int64(le.Uint64(tail[32:]))}
	if string(tail[footSize-len(foot):]) != foot || spans == 0 || spans > maxSpans || r.size < 0 ||
		at > uint64(size) || uint64(size)-at != spans*entrySize+uint64(footSize) {
		return nil, badIndex("no table")
	}
	if r.table, err = get(int64(at), int64(spans)*entrySize); err != nil {
		return nil, err
	}
	r.spans = int(spans)
	sum := crc32.Update(crc32.Checksum(r.table, castagnoli), castagnoli, tail[:footSize-len(foot)-4])
	if sum != le.Uint32(tail[footSize-len(foot)-4:]) {
		return nil, badIndex("its table does not match its checksum")
	}
	for i := range r.spans {
		length := r.start(i+1) - r.start(i)
		e := r.table[i*entrySize:]
		if i == 0 && r.start(0) != 0 || length < 0 || length > maxSpan || le.Uint32(e[36:]) > MaxWindow ||
			le.Uint64(e[24:]) > at || uint64(le.Uint32(e[32:])) > at-le.Uint64(e[24:]) {
			return nil, badIndex("span %d is impossible", i)
		}
	}
	r.latest.Store(-2)
	r.dec, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(MaxWindow), zstd.WithDecoderConcurrency(0))
	return r, err
}

// Size returns how many bytes of data there are.
func (r *Reader) Size() int64 { return r.size }

// Tag returns what Build was given.
func (r *Reader) Tag() []byte { return r.tag }

// Close ends background work and frees memory; it closes neither file.
func (r *Reader) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.running.Wait()
	r.cache.drop(r)
	r.dec.Close()
	return nil
}

// start returns the offset of span i's data; i may be the number of spans.
func (r *Reader) start(i int) int64 {
	if i == r.spans {
		return r.size
	}
	return int64(binary.LittleEndian.Uint64(r.table[i*entrySize:]))
}

func (r *Reader) restart(i int) Restart {
	if i == r.spans {
		return r.last
	}
	e, le := r.table[i*entrySize:], binary.LittleEndian
	return Restart{int64(le.Uint64(e[8:])), int64(le.Uint64(e[16:]))}
}

// find returns the span that holds the byte at off, which is below the size.
func (r *Reader) find(off int64) int {
	return sort.Search(r.spans, func(i int) bool { return r.start(i) > off }) - 1
}

func (r *Reader) window(i int) ([]byte, error) {
	e, le := r.table[i*entrySize:], binary.LittleEndian
	stored, n := le.Uint32(e[32:]), le.Uint32(e[36:])
	if n == 0 {
		return nil, nil
	}
	raw := make([]byte, stored)
	if k, err := r.index.ReadAt(raw, int64(le.Uint64(e[24:]))); k < len(raw) {
		return nil, err
	}
	w, err := r.dec.DecodeAll(raw, make([]byte, 0, n))
	if err != nil || len(w) != int(n) {
		return nil, errors.Join(badIndex("window %d", i), err)
	}
	return w, nil
}

// decode decodes span i.
func (r *Reader) decode(i int) ([]byte, error) {
	w, err := r.window(i)
	if err != nil {
		return nil, err
	}
	n := int(r.start(i+1) - r.start(i))
	b, err := r.file.Codec(r.file.Data, r.file.Size, r.restart(i), r.restart(i+1), w, n)
	if err != nil {
		return nil, fmt.Errorf("bytes %d to %d of its data: %w", r.start(i), r.start(i+1), err)
	}
	if len(b) != n || crc32.Checksum(b, castagnoli) != binary.LittleEndian.Uint32(r.table[i*entrySize+40:]) {
		return nil, fmt.Errorf("%w: bytes %d to %d of its data differ", ErrChanged, r.start(i), r.start(i+1))
	}
	return b, nil
}

// ReadAt implements io.ReaderAt.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("spans: negative offset")
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at >= r.size {
			return done, io.EOF
		}
		i := r.find(at)
		if r.latest.Swap(int64(i)) == int64(i)-1 {
			r.background(i + 1) // spans are read one after the other
		}
		b, err := r.cache.get(r, i)
		if err != nil {
			return done, err
		}
		done += copy(p[done:], b[at-r.start(i):])
	}
	return done, nil
}

// background decodes a span if there is room for it.
func (r *Reader) background(i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || i >= r.spans {
		return
	}
	select {
	case r.ahead <- struct{}{}:
	default:
		return
	}
	r.running.Go(func() {
		defer func() { <-r.ahead }()
		_, _ = r.cache.get(r, i) // who reads it will be told of errors
	})
}

// Prefetch decodes the spans of a range in the background, as far as there is
// room. It returns at once.
func (r *Reader) Prefetch(off, n int64) {
	if off < 0 || n <= 0 || off >= r.size {
		return
	}
	for i := r.find(off); i < r.spans && r.start(i) < off+n; i++ {
		r.background(i)
	}
}
