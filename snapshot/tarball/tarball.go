// Package tarball opens one uncompressed tar that holds a whole cluster: what
// pg_basebackup -D - -Ft -X fetch writes, or a tar made of a data directory.
// Tablespaces may be in the tar, where their links lead.
package tarball

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/tarset"
)

// Open opens the tar at ref. Its error is of class ErrNotABackup if ref is not
// a tar or holds no data directory.
func Open(ctx context.Context, ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	file, err := filepath.EvalSymlinks(ref)
	if err != nil {
		return nil, err
	}
	counter := &snapshot.Counter{}
	pool := hostdir.NewPool(opts.MaxOpenFiles, counter)
	d := snapshot.Draft{Kind: snapshot.KindTar, Ref: ref, Counter: counter}
	d.Closers = append(d.Closers, pool)
	if err := build(ctx, &d, file, pool, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", ref, err), pool.Close())
	}
	return snapshot.Identify(ctx, d, opts)
}

func build(ctx context.Context, d *snapshot.Draft, file string, pool *hostdir.Pool, opts snapshot.Options) error {
	root, err := pool.Root(filepath.Dir(file))
	if err != nil {
		return err
	}
	f, size, err := root.File(filepath.Base(file))
	if err != nil {
		return err
	}
	if size < 512 {
		return snapshot.Errorf(snapshot.ErrNotABackup, "a file of %d bytes is no tar", size)
	}
	head := make([]byte, 512)
	if _, err := f.ReadAt(head, 0); err != nil {
		return err
	}
	if !IsTar(head) {
		return snapshot.Errorf(snapshot.ErrNotABackup, "not a tar")
	}
	a := tarset.Archive{Name: filepath.Base(file), Size: size, Data: f}
	return tarset.Build(ctx, d, tarset.Set{Base: a}, pool, opts)
}

// IsTar reports whether the first 512 bytes of a file are a header of a tar
// that ustar or GNU tar wrote. (V7's has no mark and is not recognised.)
func IsTar(head []byte) bool {
	return len(head) >= 512 && bytes.Equal(head[257:262], []byte("ustar"))
}
