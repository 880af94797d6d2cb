package directory

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/tarset"
)

// maxSegments bounds the WAL that is asked for by name: 64 GiB of it.
const maxSegments = 4096

// fromManifest makes an archive of what a manifest names, in a store that
// cannot list. It does not name WAL and itself.
func (l *lister) fromManifest(dir string) (tarset.Archive, error) {
	w := &listing{lister: l, root: dir}
	manifest, err := l.store.Open(l.ctx, path.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return tarset.Archive{}, snapshot.Errorf(snapshot.ErrUnsupported, "a data directory without a %s, on a web server, which has no list of its files: copy it, or put it into an object store", manifestName)
	}
	if err != nil {
		return tarset.Archive{}, err
	}
	add := func(name string, e objects.Entry) {
		e.Name = name
		w.files = append(w.files, &far{lister: l, path: path.Join(dir, name), Entry: e})
	}
	m, err := snapshot.ReadManifest(io.NewSectionReader(manifest, 0, manifest.Size()), func(f snapshot.ManifestFile) error {
		if !fs.ValidPath(f.Path) || len(w.files) == snapshot.MaxFiles {
			return snapshot.Errorf(snapshot.ErrUnsafe, "%s names %d files and %.100q", manifestName, len(w.files), f.Path)
		}
		add(f.Path, objects.Entry{Size: f.Size, Changed: f.ModTime})
		return l.ctx.Err()
	})
	if err != nil {
		return tarset.Archive{}, err
	}
	add(manifestName, objects.Entry{Size: manifest.Size(), Changed: manifest.Changed()})
	names, err := l.walOf(dir, m)
	if err != nil {
		return tarset.Archive{}, err
	}
	var mu sync.Mutex
	var asking errgroup.Group
	asking.SetLimit(listsAtOnce)
	for _, name := range names {
		asking.Go(func() error {
			f, err := l.store.Open(l.ctx, path.Join(dir, "pg_wal", name))
			if errors.Is(err, fs.ErrNotExist) {
				return nil // preflight names what is missing
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			add("pg_wal/"+name, objects.Entry{Size: f.Size(), Changed: f.Changed()})
			return nil
		})
	}
	if err := asking.Wait(); err != nil {
		return tarset.Archive{}, err
	}
	return w.archive()
}

// walOf names the WAL that a backup needs.
func (l *lister) walOf(dir string, m *snapshot.Manifest) (names []string, err error) {
	f, err := l.store.Open(l.ctx, path.Join(dir, "global", "pg_control"))
	if err != nil {
		return nil, err
	}
	text := make([]byte, min(f.Size(), 8192))
	if _, err := f.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	control, err := snapshot.ParseControl(text)
	if err != nil {
		return nil, err
	}
	size := snapshot.LSN(control.WALSegmentSize)
	for _, r := range m.WALRanges {
		if r.Timeline > 1 {
			names = append(names, fmt.Sprintf("%08X.history", r.Timeline))
		}
		for at := r.Start / size * size; at < r.End; at += size {
			if len(names) == maxSegments {
				return nil, snapshot.Errorf(snapshot.ErrUnsupported, "more than %d segments of WAL, on a web server, which has no list of its files", maxSegments)
			}
			names = append(names, snapshot.SegmentName(r.Timeline, at, int(size)))
		}
	}
	return names, nil
}
