package pgbackrest

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/cache"
	"github.com/snapview/snapview/snapshot/seekable"
)

const (
	// purpose of entries in the cache; a new format needs a new name.
	purpose = "snapview pgbackrest file, seekable zstd, 1"

	// cachedFrames is how much of each open file is kept decoded in memory.
	cachedFrames = 8

	// stepFrames is how much is decoded before others may read.
	stepFrames = 8
)

// A stream is a large compressed file. It is decoded from its beginning as far
// as reads ask for, into a seekable file in the cache. When the end is reached
// its SHA-1 is verified and the file kept; before that it is private to this
// snapshot, but for the beginning, which is kept when the snapshot is closed.
type stream struct {
	v         *vault
	p         piece
	size      int64
	sum       *[20]byte
	key       cache.Key // of the whole file in the cache
	beginning cache.Key // of its beginning

	mu     sync.RWMutex // held for writing to decode, for reading to read
	failed error        // damage, found once and for all

	// kept is what the cache had: the whole file or its beginning.
	kept     *seekable.Reader
	keptFile *os.File

	// decoding; all are set or none
	growing *seekable.Growing
	entry   *cache.Writer
	source  io.ReadCloser
	hash    hash.Hash
}

func newStream(v *vault, p piece, size int64, sum *[20]byte) *stream {
	s := &stream{v: v, p: p, size: size, sum: sum}
	place := fmt.Sprintf("%s\x00%d\x00%s\x00%s\x00%d\x00%d", purpose, size, v.store, p.object, p.off, p.size)
	if sum != nil {
		s.key = sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%x", purpose, size, *sum))
		place += fmt.Sprintf("\x00%x", *sum)
	} else {
		s.key = sha256.Sum256([]byte(place))
	}
	// A beginning was not verified: it is good for the same place only.
	s.beginning = sha256.Sum256([]byte(place + "\x00beginning"))
	return s
}

// ReadAt implements io.ReaderAt.
func (s *stream) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.size {
		return 0, io.EOF
	}
	short := int64(len(p)) > s.size-off
	if short {
		p = p[:s.size-off]
	}
	n, err := s.read(p, off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// read reads bytes that are all inside the file.
func (s *stream) read(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	for {
		if err := s.v.streams.touch(s); err != nil {
			return 0, err
		}
		s.mu.RLock()
		if r := s.have(end); r != nil {
			n, err := r.ReadAt(p, off)
			s.mu.RUnlock()
			return n, wrap(s.p, err)
		}
		s.mu.RUnlock()

		s.mu.Lock()
		err := s.advance(end)
		if r := s.have(end); err == nil && r != nil {
			n, err := r.ReadAt(p, off) // now: it may be closed in between
			s.mu.Unlock()
			return n, wrap(s.p, err)
		}
		s.mu.Unlock()
		if err != nil {
			return 0, err
		}
	}
}

// wrap names the object in an error of the cache. The end of a file is none:
// what was asked for is inside.
func wrap(p piece, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("cache of %s: %w", p, err)
}

// have returns a reader that has the file up to end, or nil. s.mu is held.
func (s *stream) have(end int64) io.ReaderAt {
	switch {
	case s.kept != nil && s.kept.Size() >= end:
		return s.kept
	case s.growing != nil && s.growing.Size() >= end:
		return s.growing
	}
	return nil
}

// advance goes one step towards having the file up to end. s.mu is held for
// writing. On error nothing is left half done.
func (s *stream) advance(end int64) (err error) {
	if s.failed != nil {
		return s.failed
	}
	if s.v.streams.isClosed() {
		return os.ErrClosed
	}
	defer func() {
		if err == nil {
			return
		}
		if errors.Is(err, snapshot.ErrDamaged) {
			s.failed = err
		}
		err = errors.Join(err, s.abort())
	}()
	if s.kept == nil && s.growing == nil {
		if err := s.openKept(); err != nil {
			return err
		}
	}
	if s.have(end) != nil {
		return nil
	}
	if s.growing == nil {
		if err := s.start(); err != nil {
			return err
		}
	}
	return s.step()
}

// openKept opens what the cache has of the file.
func (s *stream) openKept() error {
	store, err := s.v.streams.disk()
	if err != nil {
		return err
	}
	for _, key := range []cache.Key{s.key, s.beginning} {
		f, err := store.Get(key)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := s.take(f, key == s.key); err == nil {
			return nil
		}
		// damaged, or of half a disk ago: it is made again
		if err := errors.Join(f.Close(), store.Remove(key)); err != nil {
			return err
		}
	}
	return nil
}

// take reads from an entry of the cache from now on, and owns it if it can.
func (s *stream) take(f *os.File, whole bool) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r, err := seekable.NewReader(f, info.Size(), cachedFrames)
	if err != nil {
		return err
	}
	if !bytes.Equal(r.Tag(), s.key[:]) || r.Size() > s.size || whole && r.Size() != s.size {
		return errors.Join(fmt.Errorf("%s was made from another file", f.Name()), r.Close())
	}
	s.kept, s.keptFile = r, f
	return nil
}

// start begins to decode.
func (s *stream) start() error {
	store, err := s.v.streams.disk()
	if err != nil {
		return err
	}
	if s.source, err = s.v.open(s.p); err != nil {
		return err
	}
	if s.entry, err = store.Create(s.key); err != nil {
		return err
	}
	s.hash = sha1.New()
	s.growing, err = seekable.NewGrowing(s.entry.File, s.key[:], cachedFrames)
	return err
}

// step decodes some frames; with the last, the file is verified and kept.
func (s *stream) step() error {
	buf := make([]byte, seekable.FrameSize)
	for range stepFrames {
		frame := buf[:min(int64(len(buf)), s.size-s.growing.Size())]
		n, err := readFull(s.source, frame)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return snapshot.Errorf(snapshot.ErrDamaged, "%s holds %d bytes, not %d", s.p, s.growing.Size()+int64(n), s.size)
		default:
			return s.classify(err)
		}
		s.hash.Write(frame)
		if err := s.growing.Append(frame); err != nil {
			return fmt.Errorf("cache of %s: %w", s.p, err)
		}
		if s.growing.Size() == s.size {
			return s.finish()
		}
	}
	return nil
}

func (s *stream) classify(err error) error {
	if store := (storeError{}); errors.As(err, &store) {
		return fmt.Errorf("%s: %w", s.p, store.error)
	}
	return s.p.damaged(err)
}

// finish verifies the file and keeps it.
func (s *stream) finish() error {
	switch n, err := readFull(s.source, make([]byte, 1)); {
	case n > 0:
		return snapshot.Errorf(snapshot.ErrDamaged, "%s holds more than %d bytes", s.p, s.size)
	case !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return s.classify(err) // its checksum, for one
	}
	if got := [20]byte(s.hash.Sum(nil)); s.sum != nil && got != *s.sum {
		return mismatch(s.p, *s.sum, got)
	}
	if err := s.growing.Finish(); err != nil {
		return fmt.Errorf("cache of %s: %w", s.p, err)
	}
	entry := s.entry
	s.entry = nil
	f, err := entry.Commit()
	if err != nil {
		return fmt.Errorf("cache of %s: %w", s.p, err)
	}
	if err := errors.Join(s.abort(), s.take(f, true)); err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// abort drops what is open, the entry that is being made too.
func (s *stream) abort() error {
	var errs []error
	if s.source != nil {
		_ = s.source.Close() // of a decoder that only reads
	}
	if s.growing != nil {
		errs = append(errs, s.growing.Close())
	}
	if s.entry != nil {
		errs = append(errs, s.entry.Abort())
	}
	if s.kept != nil {
		errs = append(errs, s.kept.Close(), s.keptFile.Close())
	}
	s.source, s.growing, s.entry, s.hash, s.kept, s.keptFile = nil, nil, nil, nil, nil, nil
	return errors.Join(errs...)
}

// release closes the file; what was decoded is kept if it is worth it. It is
// opened again if it is read again.
func (s *stream) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.growing == nil || s.growing.Size() < s.v.streams.keep || s.kept != nil && s.kept.Size() >= s.growing.Size() {
		return s.abort()
	}
	if err := s.growing.Finish(); err != nil {
		return errors.Join(fmt.Errorf("cache of %s: %w", s.p, err), s.abort())
	}
	entry := s.entry
	s.entry = nil
	f, err := entry.CommitAs(s.beginning)
	if err == nil {
		err = f.Close()
	}
	return errors.Join(err, s.abort())
}
