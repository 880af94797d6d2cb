package compressed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/cache"
	"github.com/snapview/snapview/snapshot/inflate"
	"github.com/snapview/snapview/snapshot/lz4frame"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/seekable"
	"github.com/snapview/snapview/snapshot/spans"
	"github.com/snapview/snapview/snapshot/tarheaders"
	"github.com/snapview/snapview/snapshot/tarset"
	"github.com/snapview/snapview/snapshot/zstdframe"
)

// purpose of entries in the cache; a new format needs a new name.
const purpose = "snapview compressed tar 2, "

const (
	// cachedFrames is how much of each seekable copy is kept decoded in
	// memory: 64 frames of 128 KiB.
	cachedFrames = 64
	// decodedSpans is how much of all indexed files together is, in bytes.
	decodedSpans = 64 << 20
)

// An Opener makes the tars of one backup readable at random. It is for one
// goroutine.
type Opener struct {
	ctx     context.Context
	opts    snapshot.Options
	store   *cache.Store // nil as long as nothing is compressed
	draft   *snapshot.Draft
	decoded *spans.Cache
	free    func(dir string) (bytes int64, ok bool)

	scanning []*named // archives whose headers are yet to be scanned
}

// NewOpener returns an Opener that adds to the draft what closes the archives,
// and how they are read.
func NewOpener(ctx context.Context, d *snapshot.Draft, opts snapshot.Options) *Opener {
	return &Opener{ctx: ctx, opts: opts, draft: d, decoded: spans.NewCache(decodedSpans), free: freeBytes}
}

// Archive returns the tar in f, compressed or not. Its headers must be scanned
// by the time that Scanned is called.
func (t *Opener) Archive(f objects.Object, name string) (a tarset.Archive, compressed bool, err error) {
	head := make([]byte, min(f.Size(), headSize))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return a, false, err
	}
	c := find(head)
	if c == nil {
		return tarset.Archive{Name: name, Size: f.Size(), Data: f}, false, nil
	}
	if t.store == nil {
		limit := t.opts.CacheLimit
		if limit == 0 {
			limit = snapshot.DefaultCacheLimit
		}
		if t.store, err = cache.Open(t.opts.CacheDir, limit); err != nil {
			return a, true, err
		}
	}
	a, err = t.archive(f, name, c)
	return a, true, err
}

// Scanned ends the use of notes of headers. Reading the archives may be done
// by many goroutines from then on.
func (t *Opener) Scanned() {
	for _, n := range t.scanning {
		n.headers.Close()
		n.headers = nil
	}
	t.scanning = nil
}

// archive returns the tar in f, which the codec compressed.
func (t *Opener) archive(f objects.Object, name string, c *codec) (tarset.Archive, error) {
	key, err := cache.FileKey(f, f.Size(), f.Changed(), purpose+c.what())
	if err != nil {
		return tarset.Archive{}, err
	}
	began := time.Now()
	e := &entry{t: t, f: f, name: name, codec: c, key: key}
	file, err := t.store.Get(key)
	if err == nil {
		a, err := e.open(file)
		if err == nil {
			e.tell(0)
			return a, nil
		}
		// damaged, or half a disk ago: make it again
		if err := errors.Join(file.Close(), t.store.Remove(key)); err != nil {
			return tarset.Archive{}, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return tarset.Archive{}, err
	}
	if file, err = e.build(); err != nil {
		return tarset.Archive{}, err
	}
	a, err := e.open(file)
	if err != nil {
		return tarset.Archive{}, errors.Join(err, file.Close())
	}
	e.tell(time.Since(began))
	return a, nil
}

// Fits warns if the cache cannot hold what is kept of all of the backup's files.
func (t *Opener) Fits() {
	if t.store == nil {
		return
	}
	var sum int64
	for _, x := range t.draft.Indexes {
		sum += x.Bytes
	}
	if limit := t.store.Limit(); sum > limit {
		t.draft.Checks = append(t.draft.Checks, snapshot.Check{
			Name: "cache", Outcome: snapshot.Warn,
			Detail: fmt.Sprintf("what is kept to read this backup takes %d bytes, and the cache may hold %d: the next open makes some of it again", sum, limit),
			Remedy: "give the cache more (--cache-limit)",
		})
	}
}

// An entry is what the cache keeps of one file: the index or the copy, and
// behind it what a scan of the tar reads.
type entry struct {
	t     *Opener
	f     objects.Object
	name  string // of the file, for errors
	codec *codec
	key   cache.Key

	about cache.About
	size  int64 // of the entry
}

// tell notes in the draft how the file is read.
func (e *entry) tell(took time.Duration) {
	e.t.draft.Indexes = append(e.t.draft.Indexes, snapshot.Index{
		Object: e.name, What: e.codec.what(), ObjectBytes: e.f.Size(), DataBytes: e.about.Data,
		Bytes: e.size, Made: took > 0, Took: took,
	})
}

// open makes an archive of an entry. On success the snapshot closes the file.
func (e *entry) open(file *os.File) (tarset.Archive, error) {
	a := tarset.Archive{Name: e.name}
	info, err := file.Stat()
	if err != nil {
		return a, err
	}
	about, err := cache.ReadAbout(file, info.Size())
	if err != nil {
		return a, fmt.Errorf("%s: %w", file.Name(), err)
	}
	if about.Key != e.key.String() || len(about.Parts) != 2 {
		return a, fmt.Errorf("%s was made from another file", file.Name())
	}
	var r reader
	main := io.NewSectionReader(file, 0, about.Parts[0])
	if e.codec.span != nil {
		of := spans.File{Data: e.f, Size: e.f.Size(), Codec: e.codec.span}
		r, err = spans.NewReader(main, main.Size(), of, e.t.decoded)
	} else {
		r, err = seekable.NewReader(main, main.Size(), cachedFrames)
	}
	if err != nil {
		return a, fmt.Errorf("%s: %w", file.Name(), err)
	}
	data := &named{r: r, name: e.name, cached: file.Name()}
	data.headers, err = tarheaders.NewReader(io.NewSectionReader(file, about.Parts[0], about.Parts[1]), r)
	if err != nil {
		return a, errors.Join(err, r.Close())
	}
	e.t.draft.Closers = append(e.t.draft.Closers, file, r)
	e.t.scanning = append(e.t.scanning, data)
	a.Data, a.Size = data, r.Size()
	e.about, e.size = about, info.Size()
	return a, nil
}

// build makes the entry in one pass over the file.
func (e *entry) build() (*os.File, error) {
	headers, err := tarheaders.NewRecorder()
	if err != nil {
		return nil, err
	}
	defer headers.Stop()
	if err := e.room(); err != nil {
		return nil, err
	}
	s := &pass{ctx: e.t.ctx, f: e.f, name: e.name, codec: e.codec, progress: e.t.opts.Progress, headers: headers}
	w, err := e.t.store.Create(e.key)
	if err != nil {
		return nil, err
	}
	about := cache.About{Object: e.name, What: e.codec.what(), Bytes: e.f.Size(), Parts: make([]int64, 2)}
	if about.Data, about.Parts[0], err = e.main(w, s); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	notes := headers.Notes()
	about.Parts[1] = int64(len(notes))
	if _, err = w.Write(notes); err == nil {
		err = w.WriteAbout(about)
	}
	if err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w.Commit()
}

// room fails if the cache's disk is too full for what is to be made: better
// now than after the pass. It only knows about how much that will be.
func (e *entry) room() error {
	need := e.f.Size() // of a copy
	if e.codec.span != nil {
		need /= 20 // 1 % of data that is compressed to a fifth
	}
	if free, ok := e.t.free(e.t.store.Dir()); ok && free < need {
		return fmt.Errorf("%s: the %s takes about %d bytes, and %s has %d bytes free: make room, or name another place (--cache-dir)",
			e.name, e.codec.what(), need, e.t.store.Dir(), free)
	}
	return nil
}

// freeBytes returns how much a directory's file system has free for this user.
func freeBytes(dir string) (n int64, ok bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * st.Bsize, true
}

// main writes the index or the copy; it returns the sizes of the data and of
// what it wrote.
func (e *entry) main(w *cache.Writer, s *pass) (data, written int64, err error) {
	if e.codec.span == nil {
		d, err := s.decode()
		if err != nil {
			return 0, 0, err
		}
		defer d.r.Close()
		if data, err = seekable.Write(w, d, e.key[:]); err != nil {
			return 0, 0, err
		}
	} else {
		walk := func(p *spans.Pipe) error { return e.codec.walk(s, p) }
		stats, err := spans.Build(w, e.key[:], e.codec.first, walk, s.data)
		if err != nil {
			return 0, 0, s.classify(err)
		}
		data = stats.Size
	}
	if data < tarBlock {
		return 0, 0, s.noTar()
	}
	written, err = w.Seek(0, io.SeekCurrent)
	return data, written, err
}

// reader is what both ways of reading have in common.
type reader interface {
	io.ReaderAt
	Size() int64
	Close() error
}

// named puts the file's name into errors of reading its data.
type named struct {
	r      reader
	name   string
	cached string // the entry's file

	// headers is what a scan of the tar reads, nil once it has been scanned.
	headers *tarheaders.Reader
}

func (n *named) ReadAt(p []byte, off int64) (k int, err error) {
	if n.headers != nil {
		k, err = n.headers.ReadAt(p, off)
	} else {
		k, err = n.r.ReadAt(p, off)
	}
	if err == nil || err == io.EOF { //nolint:errorlint // io.EOF itself is the end
		return k, err
	}
	switch {
	case errors.Is(err, seekable.ErrDamaged), errors.Is(err, spans.ErrIndex):
		return k, fmt.Errorf("%s, made of %s: %w: remove it (snapview cache clear)", n.cached, n.name, err)
	case errors.Is(err, os.ErrClosed):
		return k, err
	case errors.Is(err, spans.ErrChanged), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, inflate.ErrCorrupt), errors.Is(err, lz4frame.ErrCorrupt), errors.Is(err, zstdframe.ErrCorrupt):
		return k, snapshot.Errorf(snapshot.ErrDamaged, "%s was changed or damaged since it was opened: %w", n.name, err)
	}
	return k, fmt.Errorf("%s: %w", n.name, err)
}

// Prefetch passes the hint on.
func (n *named) Prefetch(off, length int64) {
	if p, ok := n.r.(interface{ Prefetch(off, n int64) }); ok {
		p.Prefetch(off, length)
	}
}
