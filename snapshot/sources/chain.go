package sources

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/compressed"
	"github.com/snapview/snapview/snapshot/incremental"
	"github.com/snapview/snapview/snapshot/tarindex"
)

// A labelled is a folder or tar with a backup, and what its backup_label says.
type labelled struct {
	at    string
	label *snapshot.Label
}

// labelledIn returns the backups that lie in dir. Only their labels are read.
func labelledIn(ctx context.Context, dir string) ([]labelled, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []labelled
	for _, e := range list {
		if len(found) == 4096 {
			break
		}
		at := filepath.Join(dir, e.Name())
		b, err := readLabel(ctx, at)
		if err != nil {
			continue // no backup, or none that could be part of a chain
		}
		if l, err := snapshot.ParseLabel(b); err == nil {
			found = append(found, labelled{at, l})
		}
	}
	return found, nil
}

// maxLabel bounds a backup_label, in bytes.
const maxLabel = 64 << 10

// readLabel reads the backup_label of a plain backup, of a folder of tars, or
// of one tar.
func readLabel(ctx context.Context, at string) ([]byte, error) {
	info, err := os.Stat(at)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		return labelOfTar(ctx, at)
	}
	if f, err := os.Open(filepath.Join(at, "backup_label")); err == nil {
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, maxLabel))
	}
	for _, name := range tars(at) {
		if role, _ := compressed.TarName(name); role == "base" {
			return labelOfTar(ctx, filepath.Join(at, name))
		}
	}
	return nil, os.ErrNotExist
}

// labelOfTar reads the backup_label of a tar, compressed or not, where
// pg_basebackup makes it the first member.
func labelOfTar(ctx context.Context, name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head, err := compressed.Head(f, maxLabel+4<<10)
	if err != nil {
		return nil, err
	}
	var text []byte
	stop := errors.New("found")
	_, err = tarindex.Scan(ctx, bytes.NewReader(head), math.MaxInt64/2, name, func(m tarindex.Member) error {
		if m.Name == "." {
			return nil
		}
		if m.Name != "backup_label" || m.Type != tarindex.File || m.Size > maxLabel {
			return os.ErrNotExist
		}
		text = make([]byte, m.Size)
		if _, err := m.Content(bytes.NewReader(head)).ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return stop
	})
	if !errors.Is(err, stop) {
		return nil, errors.Join(err, os.ErrNotExist)
	}
	return text, nil
}

// openChain completes newest, an incremental backup, with its predecessors,
// which lie beside it.
func openChain(ctx context.Context, newest *snapshot.Snapshot, opts snapshot.Options) (*snapshot.Snapshot, error) {
	chain := []*snapshot.Snapshot{newest}
	fail := func(err error) (*snapshot.Snapshot, error) {
		errs := []error{err}
		for _, s := range chain {
			errs = append(errs, s.Close())
		}
		return nil, errors.Join(errs...)
	}
	at, err := filepath.EvalSymlinks(newest.Ref)
	if err != nil {
		return fail(err)
	}
	dir := filepath.Dir(at)
	beside, err := labelledIn(ctx, dir)
	if err != nil {
		return fail(err)
	}
	// Tablespaces and WAL that were named belong to the newest backup.
	opts.Tablespaces, opts.WALDir = nil, ""
	for chain[0].Identity.IncrementalFromLSN != 0 {
		prev, err := predecessor(ctx, chain[0], beside, dir, opts)
		if err != nil {
			return fail(err)
		}
		chain = append([]*snapshot.Snapshot{prev}, chain...)
	}
	return incremental.Combine(ctx, newest.Ref, chain, opts)
}

// predecessor opens the backup that s, an incremental one, builds on.
func predecessor(ctx context.Context, s *snapshot.Snapshot, beside []labelled, dir string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	id := s.Identity
	var others string // what comes near
	for _, l := range beside {
		if l.label.StartLSN != id.IncrementalFromLSN || l.label.StartLSN >= id.StartLSN {
			continue
		}
		if l.label.Timeline != id.IncrementalFromTLI {
			others += fmt.Sprintf("; %s starts there, but on timeline %d", l.at, l.label.Timeline)
			continue
		}
		prev, err := openAlone(ctx, l.at, opts)
		if err != nil {
			return nil, err
		}
		if prev.Identity.SystemID == id.SystemID {
			return prev, nil
		}
		others += fmt.Sprintf("; %s starts there, but is of system %d", l.at, prev.Identity.SystemID)
		if err := prev.Close(); err != nil {
			return nil, err
		}
	}
	return nil, snapshot.Errorf(snapshot.ErrDamaged,
		"%s is incremental, and its predecessor is not in %s: a backup of system %d that starts at %s on timeline %d%s; put the whole chain side by side, or name all of its backups",
		s.Ref, dir, id.SystemID, id.IncrementalFromLSN, id.IncrementalFromTLI, others)
}

// openList opens the chain that these backups make, named in any order. WAL
// and tablespaces that the options name belong to the newest.
func openList(ctx context.Context, refs []string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	older := opts
	older.Tablespaces, older.WALDir = nil, ""
	var chain []*snapshot.Snapshot
	fail := func(err error) (*snapshot.Snapshot, error) {
		errs := []error{err}
		for _, s := range chain {
			errs = append(errs, s.Close())
		}
		return nil, errors.Join(errs...)
	}
	last, lastRef := (*snapshot.Snapshot)(nil), ""
	for _, ref := range refs {
		s, err := openAlone(ctx, ref, older)
		if err != nil {
			return fail(err)
		}
		chain = append(chain, s)
		if last == nil || s.Identity.StartLSN > last.Identity.StartLSN {
			last, lastRef = s, ref
		}
	}
	slices.SortStableFunc(chain, func(a, b *snapshot.Snapshot) int {
		return cmp.Compare(a.Identity.StartLSN, b.Identity.StartLSN)
	})
	if len(opts.Tablespaces) > 0 || opts.WALDir != "" {
		s, err := openAlone(ctx, lastRef, opts)
		if err != nil {
			return fail(err)
		}
		chain[slices.Index(chain, last)] = s
		if err := last.Close(); err != nil {
			return fail(err)
		}
		last = s
	}
	return incremental.Combine(ctx, last.Ref, chain, opts)
}

// newestOfChain returns the folder of the last backup in dir, if those in it
// make one chain with an incremental backup.
func newestOfChain(ctx context.Context, dir string) (string, error) {
	list, err := labelledIn(ctx, dir)
	if err != nil {
		return "", err
	}
	followed, incrementals := map[snapshot.LSN]bool{}, 0
	for _, l := range list {
		if l.label.IncrementalFromLSN != 0 {
			followed[l.label.IncrementalFromLSN] = true
			incrementals++
		}
	}
	if incrementals == 0 {
		return "", nil
	}
	var last []string
	for _, l := range list {
		if !followed[l.label.StartLSN] {
			last = append(last, l.at)
		}
	}
	if len(last) != 1 {
		return "", snapshot.Errorf(snapshot.ErrNotABackup, "%s holds several chains of backups: open the last of one, %s", dir, strings.Join(last[:min(len(last), 10)], " or "))
	}
	return last[0], nil
}

// openAlone opens one backup by itself, without what it builds on.
func openAlone(ctx context.Context, ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	if isAddress(ref) {
		return openRemote(ctx, ref, opts)
	}
	info, err := os.Stat(ref)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return openFile(ctx, ref, opts)
	}
	s, err := openPlain(ctx, ref, opts)
	if err == nil && s == nil {
		err = snapshot.Errorf(snapshot.ErrNotABackup, "%s: a folder that is neither a data directory nor of pg_basebackup -Ft", ref)
	}
	return s, err
}
