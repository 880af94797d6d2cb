package verify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/snapview/snapview/snapshot"
)

// Options say how to verify. The zero value is usable.
type Options struct {
	// Workers is how many files are read at once; 0 for one on each core.
	Workers int

	// Progress, if not nil, is called with the bytes read so far, of how
	// many, a few times a second, by one goroutine at a time.
	Progress func(done, total int64)
}

// An item is a file to be read.
type item struct {
	name  string // in the tree
	path  string // in the manifest
	size  int64
	order int64
	want  *snapshot.Checksum // nil: there is none
}

// Files verifies a snapshot's files. What is wrong with the backup is in the
// report (see Report.Err); the error is for an interruption.
func Files(ctx context.Context, s *snapshot.Snapshot, opts Options) (*Report, error) {
	snaps := s.Parts()
	chain := len(snaps) > 0
	if !chain {
		snaps = []*snapshot.Snapshot{s}
	}
	v := &verifier{workers: opts.Workers, progress: newMeter(opts.Progress)}
	if v.workers <= 0 {
		v.workers = runtime.GOMAXPROCS(0)
	}
	var jobs []*job
	for _, snap := range snaps {
		j, err := plan(ctx, snap)
		if err != nil {
			return nil, err
		}
		v.progress.total += j.bytes()
		jobs = append(jobs, j)
	}
	for _, j := range jobs {
		if err := v.run(ctx, j); err != nil {
			return nil, err
		}
	}
	v.progress.end()
	if !chain {
		return jobs[0].report, nil
	}
	sum := &Report{Ref: s.Ref, Against: "the manifest of each backup of the chain"}
	for _, j := range jobs {
		r := j.report
		sum.Files += r.Files
		sum.Bytes += r.Bytes
		sum.Unverified += r.Unverified
		sum.WALRecords += r.WALRecords
		sum.Parts = append(sum.Parts, r)
	}
	return sum, nil
}

// A job is one snapshot's part of the work.
type job struct {
	snap   *snapshot.Snapshot
	items  []item
	ranges []snapshot.WALRange
	report *Report
}

func (j *job) bytes() (n int64) {
	for _, i := range j.items {
		n += i.size
	}
	for _, w := range j.ranges {
		n += int64(min(w.End-w.Start, 1<<40)) // an absurd one ends with the segments there are
	}
	return n
}

// plan lists the files to be read, in the store's order, and notes those that
// are missing, superfluous or of another size.
func plan(ctx context.Context, s *snapshot.Snapshot) (*job, error) {
	j := &job{snap: s, report: &Report{Ref: s.Ref}}
	f, err := s.Tree.Open("data/backup_manifest")
	if errors.Is(err, fs.ErrNotExist) {
		err = j.unlisted(ctx)
	} else if err == nil {
		err = errors.Join(j.listed(ctx, f), f.Close())
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(j.items, func(a, b item) int { return cmp.Compare(a.order, b.order) })
	return j, nil
}

// listed plans by the manifest.
func (j *job) listed(ctx context.Context, f io.Reader) error {
	r, tree := j.report, j.snap.Tree
	r.Against = "backup_manifest"
	known := map[string]bool{}
	manifest, err := snapshot.ReadManifest(f, func(mf snapshot.ManifestFile) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if known[mf.Path] {
			return snapshot.Errorf(snapshot.ErrDamaged, "backup_manifest lists %s twice", mf.Path)
		}
		if len(known) >= snapshot.MaxFiles {
			return snapshot.Errorf(snapshot.ErrDamaged, "backup_manifest lists more than %d files", snapshot.MaxFiles)
		}
		known[mf.Path] = true
		if ignored(mf.Path) {
			return nil
		}
		name := path.Join("data", mf.Path)
		info, err := tree.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
			r.problem(mf.Path, Missing, "listed in the manifest, not in the backup")
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			r.problem(mf.Path, Missing, "listed in the manifest as a file, but is none")
		case info.Size() != mf.Size:
			r.problem(mf.Path, Size, "has %d bytes, the manifest lists %d", info.Size(), mf.Size)
		default:
			i := newItem(name, mf.Path, info)
			if mf.Algorithm != "NONE" {
				i.want = &snapshot.Checksum{Algorithm: mf.Algorithm, Sum: mf.Checksum}
			}
			j.items = append(j.items, i)
		}
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, snapshot.ErrDamaged) {
		j.items = nil
		r.problem("backup_manifest", Manifest, "%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	j.ranges = manifest.WALRanges
	return walk(ctx, tree, func(name, rel string, _ fs.FileInfo) {
		if !known[rel] && !ignored(rel) {
			r.problem(rel, Extra, "in the backup, not listed in the manifest")
		}
	})
}

// unlisted plans without a manifest, by what the store knows of its files.
func (j *job) unlisted(ctx context.Context) error {
	known := 0
	err := walk(ctx, j.snap.Tree, func(name, rel string, info fs.FileInfo) {
		i := newItem(name, rel, info)
		if i.want != nil {
			known++
		}
		j.items = append(j.items, i)
	})
	j.report.Against = "nothing"
	if known > 0 {
		j.report.Against = "the store"
	}
	return err
}

func newItem(name, rel string, info fs.FileInfo) item {
	i := item{name: name, path: rel, size: info.Size(), order: -1}
	if sys, ok := info.Sys().(*snapshot.Sys); ok {
		i.order, i.want = sys.PhysicalOrder(), sys.Checksum()
	}
	return i
}

// ignored are the files that may differ from the manifest, as pg_verifybackup
// has it.
func ignored(rel string) bool {
	switch rel {
	case "backup_manifest", "postgresql.auto.conf", "recovery.signal", "standby.signal":
		return true
	}
	return rel == "pg_wal" || strings.HasPrefix(rel, "pg_wal/")
}

// walk calls each for every regular file, with its path in the tree and in a
// manifest. Links are not followed; tablespaces are where the tree has them.
func walk(ctx context.Context, tree snapshot.Tree, each func(name, rel string, info fs.FileInfo)) error {
	for _, place := range [][2]string{{"data", ""}, {"tablespaces", "pg_tblspc"}} {
		top, below := place[0], place[1]
		err := fs.WalkDir(tree, top, func(name string, d fs.DirEntry, err error) error {
			if name == "tablespaces" && errors.Is(err, fs.ErrNotExist) {
				return fs.SkipDir
			}
			if err != nil {
				return err
			}
			if !d.Type().IsRegular() {
				return ctx.Err()
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			each(name, path.Join(below, strings.TrimPrefix(name, top+"/")), info)
			return nil
		})
		if err != nil {
			return fmt.Errorf("listing the files: %w", err)
		}
	}
	return nil
}

// verifier reads what is planned.
type verifier struct {
	workers  int
	progress *meter
}

func (v *verifier) run(ctx context.Context, j *job) error {
	var next, files, unverified, read atomic.Int64
	var working sync.WaitGroup
	for range min(v.workers, len(j.items)) {
		working.Go(func() {
			buf := make([]byte, 1<<20)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(j.items) {
					return
				}
				it := j.items[i]
				n, err := v.file(ctx, j, it, buf)
				read.Add(n)
				if err != nil {
					j.report.problem(it.path, Unreadable, "%v", err)
					continue
				}
				files.Add(1)
				if it.want == nil {
					unverified.Add(1)
				}
			}
		})
	}
	working.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	r := j.report
	r.Files, r.Bytes, r.Unverified = int(files.Load()), read.Load(), int(unverified.Load())
	for _, w := range j.ranges {
		n, err := checkWAL(ctx, j.snap, w, v.progress.add)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.WALRecords += n
		if err != nil {
			r.problem("pg_wal", WAL, "%v", err)
		}
	}
	slices.SortFunc(r.Problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

// file reads one file and compares it. The error says why it could not be read.
func (v *verifier) file(ctx context.Context, j *job, it item, buf []byte) (int64, error) {
	f, err := j.snap.Tree.Open(it.name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r, ok := f.(io.ReaderAt)
	if !ok {
		return 0, errors.New("it cannot be read at random")
	}
	hint, _ := f.(interface{ Prefetch(off, n int64) })
	sum, err := newHash(it.want)
	if err != nil {
		return 0, err
	}
	var off int64
	for off < it.size && ctx.Err() == nil {
		b := buf[:min(int64(len(buf)), it.size-off)]
		if hint != nil && off+int64(len(b)) < it.size {
			hint.Prefetch(off+int64(len(b)), int64(len(buf)))
		}
		n, err := r.ReadAt(b, off)
		sum.Write(b[:n])
		off += int64(n)
		v.progress.add(int64(n))
		if n < len(b) {
			return off, cmp.Or(err, error(io.ErrUnexpectedEOF))
		}
	}
	if ctx.Err() == nil && it.want != nil {
		if got := sum.Sum(nil); !bytes.Equal(got, it.want.Sum) {
			j.report.problem(it.path, Sum, "%s is %x, recorded %x", it.want.Algorithm, got, it.want.Sum)
		}
	}
	return off, nil
}
