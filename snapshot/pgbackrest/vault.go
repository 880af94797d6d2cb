package pgbackrest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/pgbackrest/cipher"
)

// Bounds on memory, in bytes: what is decoded is kept up to memoryLimit, and
// files of up to wholeLimit are decoded whole. Files that are stored as they are
// need no decoding; up to plainLimit they are read whole to be verified.
const (
	memoryLimit = 96 << 20
	wholeLimit  = 4 << 20
	plainLimit  = 128 << 10
)

// A vault turns what the repository stores into what the files held. Its
// methods may be called concurrently.
type vault struct {
	ctx     context.Context
	cancel  context.CancelFunc
	store   objects.Store
	memory  *memory
	streams *streams

	opening sync.RWMutex // held for reading while an object is opened
	closed  bool

	mu      sync.Mutex
	objects map[string]objects.Object
}

// newVault makes a vault over the store, which it owns.
func newVault(ctx context.Context, store objects.Store, opts snapshot.Options) *vault {
	v := &vault{store: store, memory: newMemory(memoryLimit), streams: newStreams(opts), objects: map[string]objects.Object{}}
	// Reads outlive the call that opens the snapshot; Close ends them.
	v.ctx, v.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return v
}

// Close ends reads under way, closes the store, which may be one that is waited
// for, and keeps what was decoded of large files.
func (v *vault) Close() error {
	v.cancel()
	v.opening.Lock() // the store opens nothing once it is closed
	v.closed = true
	v.opening.Unlock()
	err := errors.Join(v.store.Close(), v.streams.close())
	v.memory.purge()
	return err
}

// A coding is how data is stored.
type coding struct {
	codec *codec
	key   []byte // nil: not encrypted
}

// plain tells whether data is stored as it is.
func (c *coding) plain() bool { return c.codec.open == nil && c.key == nil }

// A piece is where something lies in the repository.
type piece struct {
	object string
	off    int64
	size   int64
	*coding
}

func (p piece) String() string {
	if p.off == 0 {
		return p.object
	}
	return fmt.Sprintf("%s at %d", p.object, p.off)
}

// object opens an object, once.
func (v *vault) object(name string) (objects.Object, error) {
	v.mu.Lock()
	obj := v.objects[name]
	v.mu.Unlock()
	if obj != nil {
		return obj, nil
	}
	v.opening.RLock()
	defer v.opening.RUnlock()
	if v.closed {
		return nil, os.ErrClosed
	}
	obj, err := v.store.Open(v.ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s is not in the repository %s: it was deleted, or the copy of the repository is incomplete", name, v.store)
	}
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.objects[name] = obj
	return obj, nil
}

// section opens the object that holds a piece, which must lie inside of it.
func (v *vault) section(p piece) (objects.Object, error) {
	obj, err := v.object(p.object)
	if err != nil {
		return nil, err
	}
	if p.off > obj.Size() || p.size > obj.Size()-p.off {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s has %d bytes, and what is recorded to lie at %d ends at %d: it is cut short",
			p.object, obj.Size(), p.off, p.off+p.size)
	}
	return obj, nil
}

// fetch reads a piece whole and decrypts it.
func (v *vault) fetch(p piece) ([]byte, error) {
	obj, err := v.section(p)
	if err != nil {
		return nil, err
	}
	data := make([]byte, p.size)
	if n, err := obj.ReadAt(data, p.off); n < len(data) {
		if err == nil || errors.Is(err, io.EOF) {
			err = snapshot.Errorf(snapshot.ErrDamaged, "%s ends early", p)
		}
		return nil, err
	}
	if p.key == nil {
		return data, nil
	}
	data, err = cipher.Decrypt(data, p.key)
	if err != nil {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s: %w", p, err)
	}
	return data, nil
}

// expand reads a piece whole that holds size bytes of content.
func (v *vault) expand(p piece, size int64) ([]byte, error) {
	data, err := v.fetch(p)
	if err != nil {
		return nil, err
	}
	if p.codec.open == nil {
		if int64(len(data)) != size {
			return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s holds %d bytes, not %d", p, len(data), size)
		}
		return data, nil
	}
	r, err := p.codec.open(bufio.NewReader(bytes.NewReader(data)))
	if err != nil {
		return nil, p.damaged(err)
	}
	defer r.Close()
	out := make([]byte, size+1) // one more: it must end there
	n, err := readFull(r, out)
	switch {
	case err != nil && !errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, p.damaged(err)
	case int64(n) != size:
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s holds %s bytes, not %d", p, atLeast(int64(n), size), size)
	}
	return out[:size:size], nil
}

func atLeast(n, size int64) string {
	if n > size {
		return "more than " + fmt.Sprint(size)
	}
	return fmt.Sprint(n)
}

func (p piece) damaged(err error) error {
	return snapshot.Errorf(snapshot.ErrDamaged, "%s (%s) is damaged: %w", p, p.codec.name, err)
}

// whole returns a small file's content, from memory if it is there.
func (v *vault) whole(p piece, size int64, sum *[20]byte) ([]byte, error) {
	b, err := v.memory.get(contentKey{p.object, p.off, size}, func() (any, int64, error) {
		b, err := v.expand(p, size)
		if err != nil {
			return nil, 0, err
		}
		if got := sha1.Sum(b); sum != nil && got != *sum {
			return nil, 0, mismatch(p, *sum, got)
		}
		return b, int64(len(b)), nil
	})
	if err != nil {
		return nil, err
	}
	return b.([]byte), nil
}

func mismatch(p piece, want, got [20]byte) error {
	return snapshot.Errorf(snapshot.ErrDamaged, "%s does not hold what the backup recorded (SHA-1 %x, computed %x): it was changed or damaged", p, want[:4], got[:4])
}

// What is in memory is known by where it lies and what it was taken for: a
// manifest may be wrong and give one place to two files.
type (
	contentKey struct { // a file, []byte
		object string
		off    int64
		size   int64
	}
	superKey contentKey // a super block, []byte
	mapKey   contentKey // a *blockmap.Map
)

// open returns a reader of a large file's content, from its beginning.
func (v *vault) open(p piece) (io.ReadCloser, error) {
	obj, err := v.section(p)
	if err != nil {
		return nil, err
	}
	var data io.ReaderAt = io.NewSectionReader(obj, p.off, p.size)
	size := p.size
	if p.key != nil {
		f, err := cipher.Open(data, size, p.key)
		if err != nil {
			return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s: %w", p, err)
		}
		data, size = f, f.Size()
	}
	in := bufio.NewReaderSize(&forward{ctx: v.ctx, r: data, size: size, ahead: obj, base: p.off}, readSize)
	r, err := p.codec.open(in)
	if err != nil {
		return nil, p.damaged(err)
	}
	return r, nil
}

// readSize is how much of a large file is read at once, in bytes.
const readSize = 512 << 10

// forward reads a file from its beginning and tells the store what comes next.
type forward struct {
	ctx   context.Context
	r     io.ReaderAt
	off   int64
	size  int64
	ahead objects.Object
	base  int64
}

// A storeError is one of reading the repository, as opposed to one of what it
// holds.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

func (f *forward) Read(p []byte) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, storeError{err}
	}
	if f.off >= f.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), f.size-f.off)]
	if next := f.off + int64(len(p)); next < f.size {
		f.ahead.Prefetch(f.base+next, min(readSize, f.size-next))
	}
	n, err := f.r.ReadAt(p, f.off)
	f.off += int64(n)
	if n == len(p) {
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, storeError{err}
}
