// Package compressed opens tars that are compressed: a folder of pg_basebackup
// -Ft with gzip, lz4 or zstd on either side, or one tar, also with bzip2 or xz.
//
// None of these formats can be read at random, so the first open makes one
// pass over each file, with progress, and keeps what it needs for the next in
// the cache: the tar as Zstandard frames of 128 KiB (package seekable), about
// as large as the original. It is never written uncompressed. The entry is
// keyed by the file's size, time and the hash of its head and tail; the second
// open reads nothing of the original but those.
package compressed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/cache"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/tarset"
)

// Open opens the compressed tar, or the folder of tars of which some are
// compressed, at ref. Its error is of class ErrNotABackup if it is neither.
func Open(ctx context.Context, ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	at, err := filepath.EvalSymlinks(ref)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(at)
	if err != nil {
		return nil, err
	}
	limit := opts.CacheLimit
	if limit == 0 {
		limit = snapshot.DefaultCacheLimit
	}
	store, err := cache.Open(opts.CacheDir, limit)
	if err != nil {
		return nil, err
	}
	counter := &snapshot.Counter{}
	pool := hostdir.NewPool(opts.MaxOpenFiles, counter)
	d := &snapshot.Draft{Kind: snapshot.KindCompressed, Ref: ref, Counter: counter, Closers: []io.Closer{pool}}
	t := &transcoder{ctx: ctx, opts: opts, store: store, draft: d}

	var set tarset.Set
	if info.IsDir() {
		set, err = t.folder(at, pool)
	} else {
		set.Base, err = t.file(filepath.Dir(at), filepath.Base(at), pool)
	}
	if err == nil {
		err = tarset.Build(ctx, d, set, pool, opts)
	}
	if err != nil {
		errs := []error{fmt.Errorf("%s: %w", ref, err)}
		for _, c := range slices.Backward(d.Closers) {
			errs = append(errs, c.Close())
		}
		return nil, errors.Join(errs...)
	}
	return snapshot.Identify(ctx, *d, opts)
}

// file opens one tar, compressed or not.
func (t *transcoder) file(dir, name string, pool *hostdir.Pool) (tarset.Archive, error) {
	root, err := pool.Root(dir)
	if err != nil {
		return tarset.Archive{}, err
	}
	f, size, err := root.File(name)
	if err != nil {
		return tarset.Archive{}, err
	}
	head := make([]byte, min(size, 16))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return tarset.Archive{}, err
	}
	if c := find(head); c != nil {
		return t.archive(f, name, c)
	}
	return tarset.Archive{Name: name, Size: size, Data: f}, nil
}

// suffixes of compressed tars that pg_basebackup and people use.
var suffixes = []string{"", ".gz", ".lz4", ".zst", ".bz2", ".xz"}

// TarName splits the name of a tar in a folder of pg_basebackup -Ft, with or
// without a suffix of compression, into its role: "base", "pg_wal" or an OID.
func TarName(name string) (role string, ok bool) {
	stem, suffix, ok := strings.Cut(name, ".tar")
	if !ok || !slices.Contains(suffixes, suffix) {
		return "", false
	}
	_, err := strconv.ParseUint(stem, 10, 32)
	return stem, err == nil || stem == "base" || stem == "pg_wal"
}

// folder names a folder's files by their roles.
func (t *transcoder) folder(dir string, pool *hostdir.Pool) (set tarset.Set, err error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return set, err
	}
	set.Tablespaces = map[uint32]tarset.Archive{}
	seen := map[string]string{}
	for _, e := range list {
		role, ok := TarName(e.Name())
		switch {
		case e.Name() == "backup_manifest":
			root, err := pool.Root(dir)
			if err != nil {
				return set, err
			}
			f, size, err := root.File(e.Name())
			if err != nil {
				return set, err
			}
			set.Manifest, set.ManifestSize = f, size
			set.ManifestMeta = snapshot.Meta{Perm: 0o600, ModTime: f.Changed(), Physical: -1}
			continue
		case !ok:
			continue
		case seen[role] != "":
			return set, snapshot.Errorf(snapshot.ErrNotABackup, "%s and %s are both there: leave the one that belongs to the backup", seen[role], e.Name())
		}
		seen[role] = e.Name()
		a, err := t.file(dir, e.Name(), pool)
		if err != nil {
			return set, err
		}
		switch role {
		case "base":
			set.Base = a
		case "pg_wal":
			set.WAL = &a
		default:
			oid, _ := strconv.ParseUint(role, 10, 32) // TarName checked it
			set.Tablespaces[uint32(oid)] = a
		}
	}
	if set.Base.Data == nil {
		return set, snapshot.Errorf(snapshot.ErrNotABackup, "no base.tar, compressed or not: not a folder of pg_basebackup -Ft")
	}
	return set, nil
}
