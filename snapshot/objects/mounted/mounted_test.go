package mounted

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

func TestIdentity_TellsBackupsApart(t *testing.T) {
	dir, counter := t.TempDir(), &snapshot.Counter{}
	seen := map[string]string{}
	look := func(what string) {
		t.Helper()
		id := identity(dir, []string{"label", "other"}, counter)
		if before := seen[id]; before != "" {
			t.Errorf("%s is taken for %s", what, before)
		}
		seen[id] = what
	}
	label := filepath.Join(dir, "label")
	look("none")
	for _, text := range []string{"", "a", "b"} {
		if err := os.WriteFile(label, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		look("label " + text)
	}
	// What could hang, or lead elsewhere, counts as not there.
	if err := errors.Join(os.Remove(label), syscall.Mkfifo(label, 0o600), os.Symlink("/etc/passwd", filepath.Join(dir, "other"))); err != nil {
		t.Fatal(err)
	}
	if id := identity(dir, []string{"label", "other"}, counter); seen[id] != "none" {
		t.Error("a FIFO and a link were read")
	}
	if counter.Load() != 2 {
		t.Errorf("%d bytes counted, want 2", counter.Load())
	}
}

// A slow is a file of a FUSE file system that counts reads, and can hang.
type slow struct {
	fs.Inode
	data  []byte
	reads atomic.Int64
	hang  atomic.Pointer[chan struct{}]
	fail  atomic.Int32 // syscall.Errno of the next read
}

func (f *slow) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Mtime = 0o444, uint64(len(f.data)), 1_790_000_000
	return 0
}

func (f *slow) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (f *slow) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	f.reads.Add(1)
	if c := f.hang.Load(); c != nil {
		<-*c
	}
	if e := f.fail.Swap(0); e != 0 {
		return nil, syscall.Errno(e)
	}
	return fuse.ReadResultData(f.data[min(off, int64(len(f.data))):min(off+int64(len(dest)), int64(len(f.data)))]), 0
}

// mount shows a slow file of the size as "f" by FUSE.
func mount(t *testing.T, size int) (dir string, f *slow) {
	t.Helper()
	snapshottest.Need(t, os.Geteuid() == 0, "root")
	_, err := os.Stat("/dev/fuse")
	snapshottest.Need(t, err == nil, "FUSE")
	f = &slow{data: bytes.Repeat([]byte("0123456789abcde\n"), size/16)}
	root := &fs.Inode{}
	dir = t.TempDir()
	server, err := fs.Mount(dir, root, &fs.Options{
		OnAdd: func(ctx context.Context) {
			root.AddChild("f", root.NewPersistentInode(ctx, f, fs.StableAttr{Mode: syscall.S_IFREG}), false)
		},
		MountOptions: fuse.MountOptions{DirectMount: true, FsName: "snapview-test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return dir, f
}

// openFile finds the file through a pool.
func openFile(t *testing.T, dir string, opts snapshot.Options) (*hostdir.Pool, *hostdir.File, *snapshot.Counter) {
	t.Helper()
	counter := &snapshot.Counter{}
	pool := NewPool(opts, counter, dir)
	root, err := pool.Root(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, _, err := root.File("f")
	if err != nil {
		t.Fatal(err)
	}
	return pool, f, counter
}

func TestFUSE_IsReadAheadAndKept(t *testing.T) {
	dir, slow := mount(t, 4<<20)
	opts := snapshot.Options{CacheDir: t.TempDir()}
	read := func() int64 {
		pool, f, counter := openFile(t, dir, opts)
		defer pool.Close()
		if c, ok := Check(pool); !ok || c.Detail == "" {
			t.Errorf("a FUSE file system was not recognised: %+v", c)
		}
		page := make([]byte, 8192)
		for off := int64(0); off < f.Size(); off += int64(len(page)) {
			if n, err := f.ReadAt(page, off); err != nil || !bytes.Equal(page[:n], slow.data[off:off+int64(n)]) {
				t.Fatalf("at %d: %d bytes, %v", off, n, err)
			}
		}
		return counter.Load()
	}
	if n := read(); n != 4<<20 || slow.reads.Load() > 64 {
		t.Errorf("%d bytes in %d reads", n, slow.reads.Load())
	}
	if n := read(); n != 0 {
		t.Errorf("the second time %d bytes were read", n)
	}
	opts.ReadAhead = snapshot.ReadAheadOff
	pool, f, _ := openFile(t, dir, opts)
	defer pool.Close()
	before := slow.reads.Load()
	if _, err := f.ReadAt(make([]byte, 8192), 1<<20); err != nil || slow.reads.Load() != before+1 {
		t.Errorf("off: %d reads, %v", slow.reads.Load()-before, err)
	}
}

func TestFUSE_ErrorsOfTheNetworkPass(t *testing.T) {
	dir, slow := mount(t, 1<<20)
	pool, f, _ := openFile(t, dir, snapshot.Options{CacheDir: t.TempDir()})
	defer pool.Close()
	slow.fail.Store(int32(syscall.ETIMEDOUT))
	if _, err := f.ReadAt(make([]byte, 100), 0); err != nil {
		t.Errorf("a read that timed out once: %v", err)
	}
	slow.fail.Store(int32(syscall.EIO))
	if _, err := f.ReadAt(make([]byte, 100), 512<<10); !errors.Is(err, syscall.EIO) {
		t.Errorf("an input/output error: %v", err)
	}
}

// A session that is closed does not wait for a server that is gone.
func TestFUSE_HurryLetsGo(t *testing.T) {
	dir, slow := mount(t, 1<<20)
	pool, f, _ := openFile(t, dir, snapshot.Options{CacheDir: t.TempDir()})
	gone := make(chan struct{})
	defer close(gone) // before the mount goes
	slow.hang.Store(&gone)
	read := make(chan error, 1)
	go func() {
		_, err := f.ReadAt(make([]byte, 100), 0)
		read <- err
	}()
	for slow.reads.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	pool.Hurry()
	closed := make(chan error, 1)
	go func() { closed <- pool.Close() }()
	for _, c := range []chan error{read, closed} {
		select {
		case err := <-c:
			if c == read && err == nil {
				t.Error("the read succeeded")
			}
		case <-time.After(30 * time.Second):
			t.Fatal("it waits for what never answers")
		}
	}
}
