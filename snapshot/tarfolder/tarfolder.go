// Package tarfolder opens a folder that pg_basebackup -Ft wrote: base.tar, one
// <oid>.tar for each tablespace, pg_wal.tar and backup_manifest, none of them
// compressed.
package tarfolder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/tarset"
)

// Open opens the folder at ref. Its error is of class ErrNotABackup if there is
// no base.tar in it.
func Open(ctx context.Context, ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	dir, err := filepath.EvalSymlinks(ref)
	if err != nil {
		return nil, err
	}
	counter := &snapshot.Counter{}
	pool := hostdir.NewPool(opts.MaxOpenFiles, counter)
	d := snapshot.Draft{Kind: snapshot.KindTarFolder, Ref: ref, Counter: counter}
	d.Closers = append(d.Closers, pool)
	set, err := find(dir, pool)
	if err == nil {
		err = tarset.Build(ctx, &d, set, pool, opts)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", ref, err), pool.Close())
	}
	return snapshot.Identify(ctx, d, opts)
}

// find names the folder's files by their roles. Others are none of ours.
func find(dir string, pool *hostdir.Pool) (set tarset.Set, err error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return set, err
	}
	root, err := pool.Root(dir)
	if err != nil {
		return set, err
	}
	set.Tablespaces = map[uint32]tarset.Archive{}
	for _, e := range list {
		stem, isTar := strings.CutSuffix(e.Name(), ".tar")
		oid, numErr := strconv.ParseUint(stem, 10, 32)
		manifest := e.Name() == "backup_manifest"
		if !manifest && (!isTar || numErr != nil && stem != "base" && stem != "pg_wal") {
			continue
		}
		f, size, err := root.File(e.Name())
		if err != nil {
			return set, err
		}
		a := tarset.Archive{Name: e.Name(), Size: size, Data: f}
		switch {
		case manifest:
			set.Manifest, set.ManifestSize = f, size
			set.ManifestMeta = snapshot.Meta{Perm: 0o600, Physical: -1}
			if info, err := e.Info(); err == nil {
				set.ManifestMeta.ModTime = info.ModTime()
			}
		case stem == "base":
			set.Base = a
		case stem == "pg_wal":
			set.WAL = &a
		default:
			set.Tablespaces[uint32(oid)] = a
		}
	}
	if set.Base.Data == nil {
		return set, snapshot.Errorf(snapshot.ErrNotABackup, "no base.tar: not a folder of pg_basebackup -Ft: %w", fs.ErrNotExist)
	}
	return set, nil
}
