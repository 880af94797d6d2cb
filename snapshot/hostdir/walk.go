package hostdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/snapshot"
)

// A Walk records everything below a Root.
type Walk struct {
	Builder *snapshot.Builder
	Prefix  string // where the root lies in the tree, such as "data"

	// Link decides about a symbolic link at name, relative to the root. If
	// it is nil or returns false the link is recorded as it is.
	Link func(name, target string) (handled bool, err error)

	// Skipped is told of what cannot be shown, with the reason.
	Skipped func(name, reason string)
}

// Run walks. It does not read files.
func (w *Walk) Run(ctx context.Context, r *Root) error {
	return w.dir(ctx, r, ".", 0)
}

func (w *Walk) dir(ctx context.Context, r *Root, name string, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth > 60 {
		return snapshot.Errorf(snapshot.ErrUnsafe, "%s/%s: directories nested %d deep", r.name, name, depth)
	}
	fd, err := r.openBeneath(name, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	d := os.NewFile(uintptr(fd), name)
	defer d.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: r.name + "/" + name, Err: err}
	}
	if err := w.Builder.Dir(path.Join(w.Prefix, name), meta(&st)); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	names, err := d.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("list %s/%s: %w", r.name, name, err)
	}
	slices.Sort(names)
	found := stats(r, fd, names)
	for i, n := range names {
		if err := w.entry(ctx, r, fd, n, path.Join(name, n), depth, found(i)); err != nil {
			return err
		}
	}
	return nil
}

// A found is what the kernel says of a name.
type found struct {
	st  unix.Stat_t
	err error
}

// stats returns what looks at the names in a directory, one by one; where each
// look may be a round trip, several have been taken at once before.
func stats(r *Root, dirfd int, names []string) func(i int) found {
	look := func(i int) (f found) {
		f.err = unix.Fstatat(dirfd, names[i], &f.st, unix.AT_SYMLINK_NOFOLLOW)
		return f
	}
	if r.cache == nil {
		return look
	}
	list := make([]found, len(names))
	var next atomic.Int64
	var looking sync.WaitGroup
	for range min(farLooks, len(names)) {
		looking.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(names); i = int(next.Add(1)) - 1 {
				list[i] = look(i)
			}
		})
	}
	looking.Wait()
	return func(i int) found { return list[i] }
}

// farLooks is how many names are looked at at once where that takes time.
const farLooks = 16

func (w *Walk) entry(ctx context.Context, r *Root, dirfd int, base, name string, depth int, f found) error {
	if !utf8.ValidString(base) {
		w.skip(name, "its name is not UTF-8")
		return nil
	}
	st := f.st
	if err := f.err; err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil // removed meanwhile
		}
		return &os.PathError{Op: "stat", Path: r.name + "/" + name, Err: err}
	}
	at := path.Join(w.Prefix, name)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return w.Builder.File(at, st.Size, r.file(name, &st), meta(&st))
	case unix.S_IFDIR:
		return w.dir(ctx, r, name, depth+1)
	case unix.S_IFLNK:
		buf := make([]byte, snapshot.MaxPath+1)
		n, err := unix.Readlinkat(dirfd, base, buf)
		if err != nil {
			return &os.PathError{Op: "readlink", Path: r.name + "/" + name, Err: err}
		}
		target := string(buf[:n])
		if w.Link != nil {
			if handled, err := w.Link(name, target); handled || err != nil {
				return err
			}
		}
		return w.Builder.Symlink(at, target, meta(&st))
	case unix.S_IFSOCK:
		w.skip(name, "a socket")
	default:
		w.skip(name, "neither a file, a directory nor a link")
	}
	return nil
}

func (w *Walk) skip(name, reason string) {
	if w.Skipped != nil {
		w.Skipped(name, reason)
	}
}

func meta(st *unix.Stat_t) snapshot.Meta {
	m := snapshot.Meta{
		Perm:     fs.FileMode(st.Mode & 0o777),
		ModTime:  time.Unix(st.Mtim.Unix()),
		Physical: -1,
	}
	if st.Nlink > 1 && st.Mode&unix.S_IFMT == unix.S_IFREG {
		m.LinkID = fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	}
	return m
}

// WAL lists the segments and history files in dir, a flat WAL archive or a
// pg_wal directory, for snapshot.Draft.WAL.
func WAL(p *Pool, dir string) (map[string]snapshot.WALFile, error) {
	root, err := p.Root(dir)
	if err != nil {
		return nil, err
	}
	d, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := map[string]snapshot.WALFile{}
	for _, e := range d {
		name := e.Name()
		history := strings.HasSuffix(name, ".history") && len(name) == len("00000002.history")
		if !e.Type().IsRegular() || len(name) != 24 && !history {
			continue
		}
		f, size, err := root.File(name)
		if err != nil {
			return nil, err
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		files[name] = snapshot.WALFile{Size: size, Content: f, Meta: snapshot.Meta{Perm: 0o600, ModTime: info.ModTime(), Physical: -1}}
	}
	return files, nil
}
