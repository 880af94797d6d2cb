// Package incremental opens a chain of PostgreSQL 17's incremental backups as
// the data directory that pg_combinebackup would write, without writing it:
// every block is read from the newest backup of the chain that has it.
//
// The chain's parts are snapshots that other sources opened, so plain and tar
// backups may be mixed. Only the headers of the newest backup's incremental
// files are read at open, since they tell the sizes; those of older ones when
// the file is first read.
//
// Directories, pg_control, pg_wal and the list of files are the newest
// backup's. Its backup_label is shown without the lines that make PostgreSQL
// refuse an incremental backup, and its manifest is made anew: files put
// together have no checksum there.
package incremental

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/snapview/snapview/snapshot"
)

// prefix of an incremental file's name.
const prefix = "INCREMENTAL."

// Combine returns the snapshot that a chain makes, oldest (full) backup first.
// It owns the chain's snapshots from then on, also when it fails. counter, if not
// nil, has what stores read that several of them share.
func Combine(ctx context.Context, ref string, chain []*snapshot.Snapshot, counter *snapshot.Counter, opts snapshot.Options) (*snapshot.Snapshot, error) {
	d := snapshot.Draft{
		Kind: snapshot.KindIncremental, Ref: ref, Parts: chain, Counter: counter,
		Builder: snapshot.NewBuilder(), Tablespaces: map[uint32]string{},
	}
	c := &combiner{ctx: ctx, chain: chain, newest: chain[len(chain)-1], draft: &d}
	err := c.check()
	if err == nil {
		err = c.copy(".")
	}
	if err == nil {
		err = c.special()
	}
	if err != nil {
		errs := []error{fmt.Errorf("%s: %w", ref, err)}
		for _, s := range chain {
			errs = append(errs, s.Close())
		}
		return nil, errors.Join(errs...)
	}
	for _, ts := range c.newest.Tablespaces {
		d.Tablespaces[ts.OID] = ts.Original
	}
	return snapshot.Identify(ctx, d, opts)
}

type combiner struct {
	ctx    context.Context
	chain  []*snapshot.Snapshot
	newest *snapshot.Snapshot
	draft  *snapshot.Draft
	sizes  map[string]int64 // of files put together, by manifest path
}

// check verifies that each backup is the next one's predecessor.
func (c *combiner) check() error {
	c.sizes = map[string]int64{}
	names := []string{}
	for i, s := range c.chain {
		id := s.Identity
		names = append(names, s.Ref)
		if i == 0 {
			if id.IncrementalFromLSN != 0 {
				return snapshot.Errorf(snapshot.ErrDamaged, "the chain begins with %s, which is incremental: the backup that it builds on is missing, one of system %d that starts at %s on timeline %d",
					s.Ref, id.SystemID, id.IncrementalFromLSN, id.IncrementalFromTLI)
			}
			continue
		}
		if err := follows(s, c.chain[i-1]); err != nil {
			return err
		}
	}
	for _, s := range c.chain {
		for _, check := range s.Checks {
			// What recovery needs is the newest backup's affair; files that
			// are not there, every part's.
			if (check.Name == "manifest" || check.Name == "tablespaces") && check.Outcome == snapshot.Refuse {
				return snapshot.Errorf(snapshot.ErrDamaged, "%s: %s; %s", s.Ref, check.Detail, check.Remedy)
			}
		}
	}
	c.draft.Checks = append(c.draft.Checks, snapshot.Check{
		Name: "chain", Outcome: snapshot.OK,
		Detail: fmt.Sprintf("%d backups, each the next one's predecessor: %s", len(names), strings.Join(names, ", ")),
	})
	return nil
}

// follows says why s does not build on prev.
func follows(s, prev *snapshot.Snapshot) error {
	id, before := s.Identity, prev.Identity
	switch {
	case id.SystemID != before.SystemID:
		return snapshot.Errorf(snapshot.ErrDamaged, "%s is of system %d, %s of system %d: backups of two clusters make no chain", s.Ref, id.SystemID, prev.Ref, before.SystemID)
	case id.IncrementalFromLSN == 0:
		return snapshot.Errorf(snapshot.ErrDamaged, "%s is a full backup and builds on none: leave out %s and what is before it, or open that by itself", s.Ref, prev.Ref)
	case id.IncrementalFromLSN == before.StartLSN && id.IncrementalFromTLI != before.Timeline:
		return snapshot.Errorf(snapshot.ErrDamaged, "%s builds on a backup on timeline %d; %s starts at the same %s, but on timeline %d",
			s.Ref, id.IncrementalFromTLI, prev.Ref, before.StartLSN, before.Timeline)
	case id.IncrementalFromLSN != before.StartLSN:
		return snapshot.Errorf(snapshot.ErrDamaged, "%s builds on a backup that starts at %s on timeline %d, and the one before it, %s, starts at %s on timeline %d: one of the chain is missing, or one does not belong to it",
			s.Ref, id.IncrementalFromLSN, id.IncrementalFromTLI, prev.Ref, before.StartLSN, before.Timeline)
	}
	return nil
}

// copy records the newest backup's files below dir.
func (c *combiner) copy(dir string) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	tree, b := c.newest.Tree, c.draft.Builder
	list, err := tree.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		name := path.Join(dir, e.Name())
		info, err := e.Info()
		if err != nil {
			return err
		}
		sys := info.Sys().(*snapshot.Sys) // a tree's
		m := snapshot.Meta{Perm: info.Mode().Perm(), ModTime: info.ModTime(), Physical: sys.PhysicalOrder(), LinkID: sys.LinkID()}
		switch {
		case info.IsDir():
			if err = b.Dir(name, m); err == nil {
				err = c.copy(name)
			}
		case info.Mode().Type() == fs.ModeSymlink:
			var target string
			if target, err = tree.ReadLink(name); err == nil {
				err = b.Symlink(name, target, m)
			}
		case strings.HasPrefix(e.Name(), prefix):
			err = c.merge(dir, strings.TrimPrefix(e.Name(), prefix), m)
		default:
			var r io.ReaderAt
			if r, _, err = openPart(c.newest, name); err == nil {
				err = b.File(name, info.Size(), r, m)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openPart opens a file of one of the chain's snapshots. It holds no
// descriptor: sources open files when they are read.
func openPart(s *snapshot.Snapshot, name string) (io.ReaderAt, int64, error) {
	f, err := s.Tree.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	r, ok := f.(io.ReaderAt)
	if !ok {
		return nil, 0, fmt.Errorf("%s: %s cannot be read at random", s.Ref, name)
	}
	return r, info.Size(), nil
}

// merge records dir/name, of which the newest backup has only changed blocks.
func (c *combiner) merge(dir, name string, m snapshot.Meta) error {
	if name == "" {
		return snapshot.Errorf(snapshot.ErrDamaged, "%s: a file named only %s", dir, prefix)
	}
	at := path.Join(dir, prefix+name)
	r, size, err := openPart(c.newest, at)
	if err != nil {
		return err
	}
	d, err := readDelta(r, size, c.newest.Ref+": "+at)
	if err != nil {
		return err
	}
	f := &merged{newest: d, load: func() ([]older, error) { return c.older(dir, name) }}
	m.LinkID = ""
	full := path.Join(dir, name)
	c.sizes[manifestPath(full)] = d.length() * blockSize
	return c.draft.Builder.File(full, d.length()*blockSize, f, m)
}

// older finds the predecessors of a file: deltas, newest first, up to the
// first whole file.
func (c *combiner) older(dir, name string) ([]older, error) {
	var list []older
	for i := len(c.chain) - 2; i >= 0; i-- {
		s := c.chain[i]
		r, size, err := openPart(s, path.Join(dir, name))
		if err == nil {
			return append(list, older{full: r, size: size}), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		at := path.Join(dir, prefix+name)
		r, size, err = openPart(s, at)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, err
		}
		d, err := readDelta(r, size, s.Ref+": "+at)
		if err != nil {
			return nil, err
		}
		list = append(list, older{delta: d})
	}
	return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s/%s: no backup of the chain has the whole file that the changes are to", dir, name)
}

// special replaces the files that speak of the backup itself.
func (c *combiner) special() error {
	label, m, err := c.read("data/backup_label", 1<<20)
	if err != nil {
		return err
	}
	var kept []byte
	for line := range bytes.Lines(label) {
		if !bytes.HasPrefix(line, []byte("INCREMENTAL FROM ")) {
			kept = append(kept, line...)
		}
	}
	if err := c.draft.Builder.File("data/backup_label", int64(len(kept)), snapshot.Bytes(kept), m); err != nil {
		return err
	}
	manifest, m, err := c.read("data/backup_manifest", 1<<30)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := c.manifest(manifest, int64(len(kept)))
	if err != nil {
		return err
	}
	return c.draft.Builder.File("data/backup_manifest", int64(len(text)), snapshot.Bytes(text), m)
}

func (c *combiner) read(name string, limit int64) ([]byte, snapshot.Meta, error) {
	info, err := c.newest.Tree.Stat(name)
	if err != nil {
		return nil, snapshot.Meta{}, err
	}
	if info.Size() > limit {
		return nil, snapshot.Meta{}, snapshot.Errorf(snapshot.ErrDamaged, "%s has %d bytes", name, info.Size())
	}
	b, err := fs.ReadFile(c.newest.Tree, name)
	return b, snapshot.Meta{Perm: info.Mode().Perm(), ModTime: info.ModTime(), Physical: -1}, err
}

// manifestPath turns a tree's path into a manifest's.
func manifestPath(name string) string {
	if rest, ok := strings.CutPrefix(name, "tablespaces/"); ok {
		return "pg_tblspc/" + rest
	}
	return strings.TrimPrefix(name, "data/")
}

// An entry is a file in a manifest; PostgreSQL's reader accepts any order of
// the keys.
type entry struct {
	Path        string `json:"Path,omitempty"`
	EncodedPath string `json:"Encoded-Path,omitempty"`
	Size        int64  `json:"Size"`
	Time        string `json:"Last-Modified"`
	Algorithm   string `json:"Checksum-Algorithm,omitempty"`
	Checksum    string `json:"Checksum,omitempty"`
}

// manifest rewrites the newest backup's: files put together under their real
// names and sizes.
func (c *combiner) manifest(old []byte, labelSize int64) ([]byte, error) {
	var files []string
	m, err := snapshot.ReadManifest(bytes.NewReader(old), func(f snapshot.ManifestFile) error {
		e := entry{Path: f.Path, Size: f.Size, Time: f.ModTime.Format("2006-01-02 15:04:05 GMT"), Algorithm: f.Algorithm, Checksum: hex.EncodeToString(f.Checksum)}
		dir, base := path.Split(f.Path)
		if name, ok := strings.CutPrefix(base, prefix); ok {
			e.Path = path.Join(dir, name)
			e.Size, e.Algorithm = c.sizes[e.Path], "NONE"
		}
		if f.Path == "backup_label" {
			e.Size, e.Algorithm = labelSize, "NONE"
		}
		if e.Algorithm == "NONE" {
			e.Algorithm, e.Checksum = "", ""
		}
		if strings.ToValidUTF8(e.Path, "") != e.Path {
			e.EncodedPath, e.Path = hex.EncodeToString([]byte(e.Path)), ""
		}
		line, err := json.Marshal(e)
		files = append(files, string(line))
		return err
	})
	if err != nil {
		return nil, err
	}
	var ranges []string
	for _, w := range m.WALRanges {
		ranges = append(ranges, fmt.Sprintf(`{ "Timeline": %d, "Start-LSN": "%s", "End-LSN": "%s" }`, w.Timeline, w.Start, w.End))
	}
	text := fmt.Appendf(nil, "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": %d,\n\"Files\": [\n%s\n],\n\"WAL-Ranges\": [\n%s\n],\n",
		m.SystemID, strings.Join(files, ",\n"), strings.Join(ranges, ",\n"))
	return fmt.Appendf(text, "\"Manifest-Checksum\": \"%x\"}\n", sha256.Sum256(text)), nil
}
