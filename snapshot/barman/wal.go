package barman

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/errgroup"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/compressed"
	"github.com/snapview/snapview/snapshot/objects"
)

const (
	// maxDecoded is how much decompressed WAL is kept in memory, in bytes,
	// and so the largest segment that is decompressed.
	maxDecoded = 64 << 20

	maxHistory = 1 << 20 // bytes of a timeline's history
	maxGroups  = 1 << 16 // folders of segments between begin and end
	headSize   = 16      // bytes that tell a compression
)

// addWAL gives the segments from the backup's begin to its end to the draft.
// What is missing is refused by preflight.
func (o *opener) addWAL(d *snapshot.Draft) error {
	own := d.WAL // of the directory that the options name, which comes first
	w := &wal{o: o, draft: d, files: map[string]snapshot.WALFile{}, decoded: newDecoded(o.backup.info.segment)}
	if err := w.collect(); err != nil {
		if o.ctx.Err() != nil {
			return o.ctx.Err()
		}
		o.checks = append(o.checks, snapshot.Check{
			Name: "wal archive", Outcome: snapshot.Warn,
			Detail: fmt.Sprintf("WAL cannot be taken from Barman's archive: %v", err),
			Remedy: "if the backup does not hold its WAL, name a directory that does with --wal-dir",
		})
	}
	d.WALFrom = "Barman's archive"
	if o.opts.WALDir != "" {
		d.WALFrom += " and " + o.opts.WALDir
	}
	for name, f := range own {
		w.files[name] = f
	}
	d.WAL = w.files
	return nil
}

// wal collects the WAL of one backup.
type wal struct {
	o       *opener
	draft   *snapshot.Draft
	decoded *decoded

	mu    sync.Mutex // guards files while segments are added
	files map[string]snapshot.WALFile
}

func (w *wal) collect() error {
	m := w.o.backup.info
	begin, end := m.beginWAL, m.endWAL
	switch {
	case w.o.place.lone:
		return errors.New("only the backup's own folder was given; name the server's folder")
	case begin == "" || end == "":
		return fmt.Errorf("%s does not tell where the backup begins and ends", infoName)
	case begin > end || begin[:8] != end[:8]:
		return snapshot.Errorf(snapshot.ErrDamaged, "%s has WAL from %s to %s", infoName, begin, end)
	}
	tli, low, high, err := groups(begin, end)
	if err != nil {
		return err
	}
	archive, err := w.store("wals")
	if err != nil {
		return err
	}
	for g := low; g <= high; g++ {
		if err := w.folder(archive, fmt.Sprintf("%08X%08X", tli, g)); err != nil {
			return err
		}
	}
	if tli > 1 {
		if err := w.history(archive, begin[:8]+".history"); err != nil {
			return err
		}
	}
	// What Barman received and has not filed yet.
	for _, name := range []string{"streaming", "incoming"} {
		store, err := w.store(name)
		if err == nil {
			err = w.folder(store, ".")
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// store opens a folder of the server's.
func (w *wal) store(name string) (objects.Store, error) {
	store, err := w.o.place.folder(name, w.o.opts)
	if err == nil {
		w.draft.Closers = append(w.draft.Closers, store)
	}
	return store, err
}

// groups returns the timeline and the range of folders that segments lie in.
func groups(begin, end string) (tli, low, high uint64, err error) {
	if _, err = fmt.Sscanf(begin[:16], "%8X%8X", &tli, &low); err == nil {
		_, err = fmt.Sscanf(end[8:16], "%8X", &high)
	}
	if err == nil && high-low > maxGroups {
		err = snapshot.Errorf(snapshot.ErrDamaged, "%s has WAL from %s to %s", infoName, begin, end)
	}
	return tli, low, high, err
}

// folder adds the backup's segments in a folder, if it is there.
func (w *wal) folder(store objects.Store, dir string) error {
	list, err := store.List(w.o.ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	m := w.o.backup.info
	var adding errgroup.Group
	adding.SetLimit(atOnce)
	for _, e := range list {
		segment, ok := segmentOf(e.Name)
		w.mu.Lock()
		_, known := w.files[segment]
		w.mu.Unlock()
		if e.Dir || known || !ok || segment < m.beginWAL || segment > m.endWAL {
			continue
		}
		adding.Go(func() error { return w.segment(store, path.Join(dir, e.Name), segment) })
	}
	return adding.Wait()
}

// suffixes of WAL that barman-cloud-wal-archive compressed; Barman itself gives
// none.
var suffixes = []string{"", ".gz", ".bz2", ".snappy", ".lz4", ".zst", ".xz"}

// segmentOf returns the segment that a file of an archive is.
func segmentOf(name string) (segment string, ok bool) {
	segment, suffix, dotted := strings.Cut(name, ".")
	if dotted {
		suffix = "." + suffix
	}
	return segment, isSegment(segment) && slices.Contains(suffixes, suffix)
}

func (w *wal) segment(store objects.Store, name, segment string) error {
	obj, packed, err := w.find(store, name)
	if err != nil {
		return err
	}
	f := snapshot.WALFile{
		Size: obj.Size(), Content: obj,
		Meta: snapshot.Meta{Perm: 0o600, ModTime: obj.Changed(), Physical: -1},
	}
	if packed {
		f.Size = w.o.backup.info.segment
		if f.Size > maxDecoded {
			return snapshot.Errorf(snapshot.ErrUnsupported, "segments of %d MiB are not decompressed: decompress those from %s to %s into a folder",
				f.Size>>20, w.o.backup.info.beginWAL, w.o.backup.info.endWAL)
		}
		f.Content = &packedSegment{name: name, obj: obj, size: f.Size, decoded: w.decoded}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[segment] = f
	return nil
}

// find opens a file of the archive and tells whether it is compressed.
func (w *wal) find(store objects.Store, name string) (obj objects.Object, packed bool, err error) {
	if obj, err = store.Open(w.o.ctx, name); err != nil {
		return nil, false, err
	}
	head := make([]byte, min(obj.Size(), headSize))
	if _, err := obj.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	if strings.HasPrefix(string(head), "\x85") {
		return nil, false, snapshot.Errorf(snapshot.ErrUnsupported, "%s is encrypted (GnuPG), which this build does not read", name)
	}
	return obj, compressed.Codec(head) != "", nil
}

// history adds the timeline's history, which recovery asks for; the backup's
// end is reached without it.
func (w *wal) history(store objects.Store, name string) error {
	var obj objects.Object
	err := fs.ErrNotExist
	for _, s := range suffixes {
		if obj, _, err = w.find(store, name+s); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := unpack(obj, name, maxHistory)
	if err != nil {
		return err
	}
	w.files[name] = snapshot.WALFile{
		Size: int64(len(text)), Content: snapshot.Bytes(text),
		Meta: snapshot.Meta{Perm: 0o600, ModTime: obj.Changed(), Physical: -1},
	}
	return nil
}

// unpack returns what a file holds, of which there are at most limit bytes.
func unpack(obj objects.Object, name string, limit int64) ([]byte, error) {
	var b bytes.Buffer
	r, err := compressed.Stream(io.NewSectionReader(obj, 0, obj.Size()))
	if err == nil {
		defer r.Close()
		b.Grow(int(limit) + bytes.MinRead) // at once, for it is its size mostly
		_, err = b.ReadFrom(io.LimitReader(r, limit+1))
	}
	if err == nil && int64(b.Len()) > limit {
		err = fmt.Errorf("it holds more than %d bytes", limit)
	}
	if err != nil {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s in Barman's archive: %w", name, err)
	}
	return b.Bytes(), nil
}

// A packedSegment is a compressed one, decompressed whole when it is read.
type packedSegment struct {
	name    string
	obj     objects.Object
	size    int64
	decoded *decoded
}

// ReadAt implements snapshot.Content.
func (s *packedSegment) ReadAt(p []byte, off int64) (int, error) {
	b, err := s.decoded.get(s)
	if err != nil {
		return 0, err
	}
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Prefetch implements snapshot.Content: a segment is read from its beginning.
func (s *packedSegment) Prefetch(_, _ int64) { s.obj.Prefetch(0, s.obj.Size()) }

// decoded keeps the segments used last in memory. Recovery reads one after the
// other, so that one is decompressed at a time.
type decoded struct {
	mu   sync.Mutex
	last *simplelru.LRU[*packedSegment, []byte]
}

func newDecoded(size int64) *decoded {
	last, _ := simplelru.NewLRU[*packedSegment, []byte](max(1, int(maxDecoded/size)), nil) // fails only for size < 1
	return &decoded{last: last}
}

func (d *decoded) get(s *packedSegment) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b, ok := d.last.Get(s); ok {
		return b, nil
	}
	b, err := unpack(s.obj, s.name, s.size)
	if err == nil && int64(len(b)) < s.size {
		err = snapshot.Errorf(snapshot.ErrDamaged, "%s in Barman's archive ends after %d of %d bytes", s.name, len(b), s.size)
	}
	if err != nil {
		return nil, err
	}
	d.last.Add(s, b)
	return b, nil
}
