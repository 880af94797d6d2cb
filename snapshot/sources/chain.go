package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/incremental"
	"github.com/snapview/snapview/snapshot/tarindex"
)

// A labelled is a folder with a backup, and what its backup_label says.
type labelled struct {
	dir   string
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
		sub := filepath.Join(dir, e.Name())
		b, err := readLabel(ctx, sub)
		if err != nil {
			continue // no backup, or none that could be part of a chain
		}
		if l, err := snapshot.ParseLabel(b); err == nil {
			found = append(found, labelled{sub, l})
		}
	}
	return found, nil
}

// readLabel reads the backup_label of a plain backup or of a base.tar, where
// it is the first member.
func readLabel(ctx context.Context, dir string) ([]byte, error) {
	const most = 64 << 10
	if f, err := os.Open(filepath.Join(dir, "backup_label")); err == nil {
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, most))
	}
	f, err := os.Open(filepath.Join(dir, "base.tar"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var text []byte
	stop := errors.New("found")
	_, err = tarindex.Scan(ctx, f, info.Size(), f.Name(), func(m tarindex.Member) error {
		if m.Name != "backup_label" || m.Type != tarindex.File || m.Size > most {
			return os.ErrNotExist // pg_basebackup puts it first
		}
		text = make([]byte, m.Size)
		if _, err := m.Content(f).ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
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
	dir, err := filepath.EvalSymlinks(newest.Ref)
	if err != nil {
		return fail(err)
	}
	beside, err := labelledIn(ctx, filepath.Dir(dir))
	if err != nil {
		return fail(err)
	}
	// Tablespaces and WAL that were named belong to the newest backup.
	opts.Tablespaces, opts.WALDir = nil, ""
	for chain[0].Identity.IncrementalFromLSN != 0 {
		id := chain[0].Identity
		var prev *snapshot.Snapshot
		for _, l := range beside {
			if l.label.StartLSN != id.IncrementalFromLSN || l.label.Timeline != id.IncrementalFromTLI || l.label.StartLSN >= id.StartLSN {
				continue
			}
			s, err := openBackup(ctx, l.dir, opts)
			if err != nil {
				return fail(err)
			}
			if s.Identity.SystemID == id.SystemID {
				prev = s
				break
			}
			if err := s.Close(); err != nil {
				return fail(err)
			}
		}
		if prev == nil {
			return fail(snapshot.Errorf(snapshot.ErrDamaged,
				"%s is incremental, and its predecessor is not in %s: a backup of system %d that starts at %s on timeline %d; put the whole chain side by side",
				chain[0].Ref, filepath.Dir(dir), id.SystemID, id.IncrementalFromLSN, id.IncrementalFromTLI))
		}
		chain = append([]*snapshot.Snapshot{prev}, chain...)
	}
	return incremental.Combine(ctx, newest.Ref, chain, opts)
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
			last = append(last, l.dir)
		}
	}
	if len(last) != 1 {
		return "", snapshot.Errorf(snapshot.ErrNotABackup, "%s holds several chains of backups: open the last of one, %s", dir, strings.Join(last[:min(len(last), 10)], " or "))
	}
	return last[0], nil
}

// openBackup opens one folder by itself.
func openBackup(ctx context.Context, dir string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	s, err := openPlain(ctx, dir, opts)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, fmt.Errorf("%s: %w", dir, os.ErrNotExist)
	}
	return s, nil
}
