package hostdir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Far says which directories Through is for.
type Far int

const (
	FarByKind Far = iota // those on network and FUSE file systems
	FarAlways            // all
)

// A Reader is what a file may be read through.
type Reader interface {
	io.ReaderAt
	Prefetch(off, n int64)
}

// A cache is what files that are far away are read through.
type cache struct {
	when Far
	wrap func(*Direct) Reader
	io.Closer
}

// Through has files that are far away be read through what wrap returns, which
// reads them by their Direct. It is called when a file is first read. closer
// ends that and is closed with the pool. Only roots opened later are affected.
func (p *Pool) Through(when Far, wrap func(*Direct) Reader, closer io.Closer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.through = &cache{when, wrap, closer}
}

// Far lists the directories whose files are read through a cache, with the
// kinds of their file systems.
func (p *Pool) Far() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.far)
}

// hurriedWait is how long Close waits for reads after Hurry.
const hurriedWait = 5 * time.Second

// Hurry has Close wait only for a moment for reads that the kernel does not
// end, such as those of a network file system whose server is gone.
func (p *Pool) Hurry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hurried = true
	if p.through == nil {
		return
	}
	if h, ok := p.through.Closer.(interface{ Hurry() }); ok {
		h.Hurry()
	}
}

// wait waits for reads under way; p.mu is held.
func (p *Pool) wait() {
	late := false
	if p.hurried {
		timer := time.AfterFunc(hurriedWait, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			late = true
			p.idle.Broadcast()
		})
		defer timer.Stop()
	}
	for p.inUse > 0 && !late {
		p.idle.Wait()
	}
}

// A Direct reads a file past what the pool reads it through. A read that the
// caller has given up does not keep the pool from being closed.
type Direct struct{ f *File }

// ReadAt implements io.ReaderAt.
func (d *Direct) ReadAt(b []byte, off int64) (int, error) {
	h, err := d.f.acquire()
	if err != nil {
		return 0, err
	}
	p := d.f.root.pool
	p.mu.Lock()
	p.leave() // the handle is ours all the same
	p.mu.Unlock()
	defer p.drop(h)
	return d.f.pread(h, b, off)
}

// Size returns the size that the file had when it was found.
func (d *Direct) Size() int64 { return d.f.size }

// Changed returns when the file was changed last, as of when it was found.
func (d *Direct) Changed() time.Time { return d.f.time }

// Prefetch does nothing: what stands before this reads ahead.
func (d *Direct) Prefetch(int64, int64) {}

// String returns the file's path.
func (d *Direct) String() string { return d.f.root.name + "/" + d.f.name }

// Tag tells the file from others that its path had or will have, as far as its
// times and size do.
func (d *Direct) Tag() string {
	return fmt.Sprintf("%d %d %d", d.f.size, d.f.time.UnixNano(), d.f.away.status)
}

// away is what a File has more that is far away.
type away struct {
	status  int64 // time of change of its metadata, Unix ns
	once    sync.Once
	content Reader
}

// cached returns what the file is read through.
func (f *File) cached() Reader {
	f.away.once.Do(func() { f.away.content = f.root.cache.wrap(&Direct{f}) })
	return f.away.content
}

// Kinds of file systems that keep no data on this host's disks, by statfs's
// f_type. FUSE is looked at more closely.
var farKinds = map[int64]string{
	unix.FUSE_SUPER_MAGIC:   "fuse",
	unix.NFS_SUPER_MAGIC:    "nfs",
	unix.SMB_SUPER_MAGIC:    "smb",
	unix.CIFS_SUPER_MAGIC:   "cifs",
	unix.SMB2_SUPER_MAGIC:   "smb3",
	unix.CEPH_SUPER_MAGIC:   "ceph",
	unix.AFS_SUPER_MAGIC:    "afs",
	unix.AFS_FS_MAGIC:       "afs",
	unix.CODA_SUPER_MAGIC:   "coda",
	unix.V9FS_MAGIC:         "9p",
	unix.NCP_SUPER_MAGIC:    "ncp",
	0x0bd00bd0:              "lustre",
	0x47504653:              "gpfs",
	0x19830326:              "beegfs",
	0x786f4256:              "vboxsf",
	0xbacbacbc & 0xffffffff: "vmhgfs",
}

// Kinds of FUSE that show a disk of this host, or memory of the machine below.
var nearFUSE = []string{"fuseblk", "virtiofs", "fuse.mergerfs", "fuse.bindfs"}

// farKind returns the kind of file system that fd lies on, empty if its data
// are on this host.
func farKind(fd int) string {
	var st unix.Statfs_t
	for {
		err := unix.Fstatfs(fd, &st)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return ""
		}
		break
	}
	kind := farKinds[int64(st.Type)&0xffffffff]
	if kind != "fuse" {
		return kind
	}
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		return kind
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return kind
	}
	defer f.Close()
	if named := mountedKind(f, unix.Major(info.Dev), unix.Minor(info.Dev)); named != "" {
		kind = named
	}
	if slices.Contains(nearFUSE, kind) {
		return ""
	}
	return kind
}

// mountedKind finds a device in the kernel's table of mounts (proc(5)) and
// returns the kind of its file system.
func mountedKind(table io.Reader, major, minor uint32) string {
	device := fmt.Sprintf("%d:%d", major, minor)
	lines := bufio.NewScanner(table)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[2] != device {
			continue
		}
		if i := slices.Index(fields, "-"); i > 0 && i+1 < len(fields) {
			return fields[i+1]
		}
	}
	return ""
}
