package chunks

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// reserve is how much the cache leaves free on its file system.
	reserve = 1 << 30
	// measureEvery is how much is written between two looks at the
	// directory; smaller caches are looked at after a 16th of their limit.
	measureEvery = 256 << 20
)

// evictIfDue looks at the directory when enough was written since, unless
// somebody does so already.
func (d *disk) evictIfDue() {
	if d.measured.Load() && d.written.Load() < min(measureEvery, d.limit/16) || !d.evicting.TryLock() {
		return
	}
	defer d.evicting.Unlock()
	d.written.Store(0)
	d.measured.Store(true)
	if err := d.evict(); err != nil && d.notice != nil {
		d.notice(fmt.Sprintf("the cache of what was fetched could not be tidied up: %v", err))
	}
}

// A part is a file of the cache.
type part struct {
	name string
	size int64 // on disk
	used time.Time
}

// evict removes the files least recently used until the rest is a tenth below
// the limit. A file that somebody reads stays readable for him.
func (d *disk) evict() error {
	parts, sum, err := d.parts()
	if err != nil {
		return err
	}
	limit := d.limit
	var fsys unix.Statfs_t
	if err := unix.Statfs(d.dir, &fsys); err == nil {
		limit = min(limit, sum+int64(fsys.Bavail)*fsys.Bsize-reserve)
	}
	if limit <= 0 {
		d.rest.Store(time.Now().Add(writeHoliday).UnixNano())
	}
	if sum <= limit {
		return nil
	}
	slices.SortFunc(parts, func(a, b part) int { return a.used.Compare(b.used) })
	for _, p := range parts {
		if sum <= limit-limit/10 {
			break
		}
		if err := os.Remove(p.name); err != nil && !os.IsNotExist(err) {
			return err
		}
		_ = os.Remove(filepath.Dir(p.name)) // if that was its last
		sum -= p.size
	}
	return nil
}

// parts lists the files of the cache.
func (d *disk) parts() (list []part, sum int64, err error) {
	err = filepath.WalkDir(d.dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(name, partSuffix) {
			if os.IsNotExist(err) {
				return nil // removed meanwhile
			}
			return err
		}
		info, err := e.Info()
		if err != nil {
			return nil // removed meanwhile
		}
		p := part{name, info.Size(), info.ModTime()}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			p.size = st.Blocks * 512
		}
		list = append(list, p)
		sum += p.size
		return nil
	})
	return list, sum, err
}
