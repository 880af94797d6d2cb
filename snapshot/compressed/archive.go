package compressed

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/cache"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/seekable"
	"github.com/snapview/snapview/snapshot/tarset"
)

// purpose of entries in the cache; a new format needs a new name.
const purpose = "snapview compressed tar, seekable zstd, 1"

// cachedFrames is how much of each archive is kept decoded in memory: 64
// frames of 128 KiB.
const cachedFrames = 64

// transcoder turns compressed tars into ones that can be read at random.
type transcoder struct {
	ctx   context.Context
	opts  snapshot.Options
	store *cache.Store
	draft *snapshot.Draft

	compressed int // files that were compressed
}

// archive returns the tar in f, which the codec compressed.
func (t *transcoder) archive(f objects.Object, name string, c *codec) (tarset.Archive, error) {
	a := tarset.Archive{Name: name}
	key, err := cache.FileKey(f, f.Size(), f.Changed(), purpose)
	if err != nil {
		return a, err
	}
	file, err := t.store.Get(key)
	if err == nil {
		if a.Data, a.Size, err = t.open(file, key); err == nil {
			return a, nil
		}
		// damaged, or half a disk ago: make it again
		if err := errors.Join(file.Close(), t.store.Remove(key)); err != nil {
			return a, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	if file, err = t.build(f, name, c, key); err != nil {
		return a, err
	}
	if a.Data, a.Size, err = t.open(file, key); err != nil {
		return a, errors.Join(err, file.Close())
	}
	return a, nil
}

// open makes an archive of an entry of the cache. On success the snapshot
// closes the file.
func (t *transcoder) open(file *os.File, key cache.Key) (io.ReaderAt, int64, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	r, err := seekable.NewReader(file, info.Size(), cachedFrames)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", file.Name(), err)
	}
	if !bytes.Equal(r.Tag(), key[:]) {
		return nil, 0, errors.Join(fmt.Errorf("%s was made from another file", file.Name()), r.Close())
	}
	t.draft.Closers = append(t.draft.Closers, file, r)
	return r, r.Size(), nil
}

// build makes the entry in one pass over the file.
func (t *transcoder) build(f objects.Object, name string, c *codec, key cache.Key) (*os.File, error) {
	in := &source{ctx: t.ctx, f: f, name: name, progress: t.opts.Progress}
	d, err := decompress(in, c, name, in.done)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	data := bufio.NewReaderSize(d, seekable.FrameSize)
	if head, err := data.Peek(512); err != nil || !isTar(head) {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s is compressed with %s, and what is in it is no tar", name, c.name)
	}
	w, err := t.store.Create(key)
	if err != nil {
		return nil, err
	}
	if _, err := seekable.Write(w, data, key[:]); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w.Commit()
}

func isTar(head []byte) bool {
	return len(head) >= 512 && bytes.Equal(head[257:262], []byte("ustar"))
}

// source reads a file forwards, tells how far it is, and ends when the context
// does.
type source struct {
	ctx      context.Context
	f        objects.Object
	name     string
	progress func(snapshot.Progress)
	off      int64
	told     int64
}

// progressStep is how many compressed bytes lie between two reports.
const progressStep = 4 << 20

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, hostError{err}
	}
	if s.off >= s.f.Size() {
		return 0, io.EOF
	}
	n, err := s.f.ReadAt(p[:min(int64(len(p)), s.f.Size()-s.off)], s.off)
	s.off += int64(n)
	if s.progress != nil && (s.off-s.told >= progressStep || s.off == s.f.Size()) {
		s.told = s.off
		s.progress(snapshot.Progress{Object: s.name, Done: s.off, Total: s.f.Size()})
	}
	if n > 0 || errors.Is(err, io.EOF) {
		return n, nil
	}
	return n, hostError{err}
}

func (s *source) done() int64 { return s.off }
