// Package directory opens a data directory: what pg_basebackup -Fp wrote, a
// cold copy, or anything mounted that looks like one.
//
// The tree is walked once, names and sizes only; files are opened when they
// are read. Links are followed in two places alone, pg_tblspc/<oid> and
// pg_wal, because PostgreSQL puts them there. A link elsewhere stays a link if
// it stays inside the data directory; one that leaves it is left out and said
// so, or refused where PostgreSQL keeps data.
package directory

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/objects/mounted"
)

// opener is the state of one Open.
type opener struct {
	ctx         context.Context
	opts        snapshot.Options
	dir         string // the data directory, links resolved
	pool        *hostdir.Pool
	builder     *snapshot.Builder
	tablespaces map[uint32]string
	checks      []snapshot.Check
	found       map[uint32]string // OID to directory on this host
	walDir      string
}

// Open opens the data directory at ref. Its error is of class ErrNotABackup if
// ref is not a directory with PG_VERSION in it.
func Open(ctx context.Context, ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	return OpenAmended(ctx, ref, opts, nil)
}

// OpenAmended is Open for a store that knows more of the backup than its files
// do: amend, if not nil, may add to the draft before it is identified. When it
// fails, what it added to Draft.Closers is closed.
func OpenAmended(ctx context.Context, ref string, opts snapshot.Options, amend func(*snapshot.Draft) error) (*snapshot.Snapshot, error) {
	dir, err := filepath.EvalSymlinks(filepath.Join(ref, opts.Root))
	if err != nil {
		return nil, err
	}
	if info, err := os.Lstat(filepath.Join(dir, "PG_VERSION")); err != nil || !info.Mode().IsRegular() {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: no PG_VERSION: not a data directory", ref)
	}
	counter := &snapshot.Counter{}
	o := &opener{
		ctx: ctx, opts: opts, dir: dir,
		pool:        mounted.NewPool(opts, counter, dir, "global/pg_control", "backup_label"),
		builder:     snapshot.NewBuilder(),
		tablespaces: map[uint32]string{},
		found:       map[uint32]string{},
	}
	if err := o.walk(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", ref, err), o.pool.Close())
	}
	if c, ok := mounted.Check(o.pool); ok {
		o.checks = append(o.checks, c)
	}
	d := snapshot.Draft{
		Kind: snapshot.KindDirectory, Ref: ref,
		Builder: o.builder, Counter: counter,
		Tablespaces: o.tablespaces, Checks: o.checks,
	}
	d.Closers = append(d.Closers, o.pool)
	if opts.WALDir != "" {
		if d.WAL, err = hostdir.WAL(o.pool, opts.WALDir); err != nil {
			return nil, errors.Join(fmt.Errorf("WAL directory: %w", err), o.pool.Close())
		}
	}
	if amend != nil {
		if err := amend(&d); err != nil {
			errs := []error{fmt.Errorf("%s: %w", ref, err)}
			for _, c := range slices.Backward(d.Closers) {
				errs = append(errs, c.Close())
			}
			return nil, errors.Join(errs...)
		}
	}
	return snapshot.Identify(ctx, d, opts)
}

func (o *opener) walk() error {
	if err := o.add("data", o.dir, o.link); err != nil {
		return err
	}
	if o.walDir != "" {
		if err := o.add("data/pg_wal", o.walDir, nil); err != nil {
			return fmt.Errorf("pg_wal: %w", err)
		}
	}
	for oid, dir := range o.opts.Tablespaces {
		o.found[oid] = dir
	}
	if err := o.mapped(); err != nil {
		return err
	}
	for _, oid := range sortedOIDs(o.found) {
		at := fmt.Sprintf("tablespaces/%d", oid)
		if err := o.add(at, o.found[oid], nil); err != nil {
			return fmt.Errorf("tablespace %d: %w", oid, err)
		}
		if err := o.builder.LinkTablespace(oid); err != nil {
			return err
		}
	}
	return nil
}

// add walks one directory of the host into the tree.
func (o *opener) add(at, dir string, link func(name, target string) (bool, error)) error {
	root, err := o.pool.Root(dir)
	if err != nil {
		return err
	}
	w := &hostdir.Walk{Builder: o.builder, Prefix: at, Link: link, Skipped: func(name, reason string) {
		o.checks = append(o.checks, snapshot.Check{Name: "files", Outcome: snapshot.Info, Detail: fmt.Sprintf("%s left out: %s", path.Join(at, name), reason)})
	}}
	if link == nil {
		w.Link = func(name, target string) (bool, error) { return o.strayLink(path.Join(at, name), name, target) }
	}
	return w.Run(o.ctx, root)
}

// link handles a link below the data directory.
func (o *opener) link(name, target string) (bool, error) {
	if oid, ok := snapshot.TablespaceOID(name); ok {
		return true, o.tablespace(oid, name, target)
	}
	if name == "pg_wal" {
		dir := o.resolve(name, target)
		if isDir(dir) {
			o.walDir = dir
			return true, nil
		}
		outcome := snapshot.Info
		if o.opts.WALDir == "" {
			outcome = snapshot.Warn
		}
		o.checks = append(o.checks, snapshot.Check{
			Name: "wal", Outcome: outcome,
			Detail: fmt.Sprintf("pg_wal is a link to %s, which is not there", target), Remedy: "name the directory that holds the WAL with --wal-dir",
		})
		return true, nil
	}
	return o.strayLink(path.Join("data", name), name, target)
}

// strayLink keeps a link that stays inside; see snapshot.CheckLink.
func (o *opener) strayLink(at, name, target string) (bool, error) {
	keep, check, err := snapshot.CheckLink(at, name, target)
	if err == nil && !keep {
		o.checks = append(o.checks, check)
	}
	return !keep, err
}

// tablespace finds the directory of a tablespace: the one named by the user,
// where its link leads, or a sibling of the data directory named by its OID,
// as Barman keeps them.
func (o *opener) tablespace(oid uint32, name, target string) error {
	o.tablespaces[oid] = target
	dir := o.resolve(name, target)
	sibling := filepath.Join(filepath.Dir(o.dir), strconv.FormatUint(uint64(oid), 10))
	switch {
	case o.opts.Tablespaces[oid] != "":
	case isDir(dir):
		o.found[oid] = dir
		if path.IsAbs(target) && !exists(filepath.Join(o.dir, "backup_manifest")) {
			o.checks = append(o.checks, snapshot.Check{
				Name: "tablespaces", Outcome: snapshot.Warn,
				Detail: fmt.Sprintf("tablespace %d is read where its link leads, %s, and no manifest says whether that is the backup's copy", oid, dir),
				Remedy: fmt.Sprintf("if a server uses that directory, name the backup's own with --tablespace %d=DIR", oid),
			})
		}
	case isDir(sibling):
		o.found[oid] = sibling
	default:
		return o.builder.Symlink("data/"+name, target, snapshot.Meta{}) // preflight names it
	}
	return nil
}

// mapped finds tablespaces that tablespace_map names but no link: low-level
// backups may have been copied without links.
func (o *opener) mapped() error {
	root, err := o.pool.Root(o.dir)
	if err != nil {
		return err
	}
	f, size, err := root.File("tablespace_map")
	if err != nil || size == 0 || size > 1<<20 {
		return nil
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return err
	}
	m, err := snapshot.ParseTablespaceMap(b)
	if err != nil {
		return err
	}
	for oid, target := range m {
		if o.tablespaces[oid] == "" {
			o.tablespaces[oid] = target
		}
		sibling := filepath.Join(filepath.Dir(o.dir), strconv.FormatUint(uint64(oid), 10))
		if o.found[oid] == "" && !exists(filepath.Join(o.dir, "pg_tblspc", fmt.Sprint(oid))) && isDir(sibling) {
			o.found[oid] = sibling
		}
	}
	return nil
}

// resolve makes a link's target a path on this host.
func (o *opener) resolve(name, target string) string {
	if filepath.IsAbs(target) {
		return filepath.Clean(target)
	}
	return filepath.Join(o.dir, filepath.Dir(name), target)
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func sortedOIDs(m map[uint32]string) []uint32 {
	oids := make([]uint32, 0, len(m))
	for oid := range m {
		oids = append(oids, oid)
	}
	slices.Sort(oids)
	return oids
}
