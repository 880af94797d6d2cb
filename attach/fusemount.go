package attach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	// fuseMaxIO is the largest read or write the kernel sends, its own
	// maximum by default.
	fuseMaxIO = 1 << 20
	// fuseMaxBackground bounds the kernel's asynchronous requests. It is
	// well above what the loop device may have under way (128 requests of
	// at most 1280 KiB), so that writes which the overlay holds back leave
	// room for reads (see limitWrites).
	fuseMaxBackground = 256
)

// fuseMount is a served FUSE mount.
type fuseMount struct {
	dir    string
	dev    uint64 // st_dev of the mounted file system
	ino    uint64 // of the disk file
	served chan struct{}
}

// mountFUSE mounts fs at dir and serves it.
//
// The mount is made here and handed to go-fuse as a descriptor: go-fuse's own
// direct mount opens /dev/fuse without close-on-exec, and a PostgreSQL that
// inherited the descriptor would keep a dead session's disk from failing.
func mountFUSE(dir, source string, fs *diskFS, logger *slog.Logger) (*fuseMount, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w%s", err, fuseHint(err))
	}
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,max_read=%d",
		fd, os.Geteuid(), os.Getegid(), fuseMaxIO)
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME)
	if err := unix.Mount(source, dir, "fuse.snapview", flags, data); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("mount a FUSE file system at %s: %w%s", dir, err, fuseHint(err))
	}
	server, err := fuse.NewServer(fs, fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{
		MaxBackground:      fuseMaxBackground,
		MaxWrite:           fuseMaxIO,
		DisableXAttrs:      true,
		DisableReadDirPlus: true,
		ExtraCapabilities:  fuse.CAP_ASYNC_DIO,
		Name:               "snapview",
		Logger:             slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	})
	if err != nil {
		// NewServer has closed the descriptor, or it failed before it was
		// its own; closing it here could hit somebody else's.
		return nil, errors.Join(fmt.Errorf("serve FUSE at %s: %w", dir, err), unmountNow(dir))
	}
	m := &fuseMount{dir: dir, served: make(chan struct{})}
	go func() {
		defer close(m.served)
		server.Serve()
	}()
	var st unix.Stat_t
	if err := unix.Stat(m.file(), &st); err != nil {
		return nil, errors.Join(fmt.Errorf("stat %s: %w", m.file(), err), m.unmount(context.Background()))
	}
	m.dev, m.ino = uint64(st.Dev), st.Ino
	return m, nil
}

func fuseHint(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return " (is the fuse module loaded? modprobe fuse; in a container, pass --device /dev/fuse)"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return " (this needs root with CAP_SYS_ADMIN)"
	}
	return ""
}

func (m *fuseMount) file() string { return m.dir + "/" + diskName }

// unmount takes the mount down and returns when nothing is served any more.
func (m *fuseMount) unmount(ctx context.Context) error {
	if err := unmount(ctx, m.dir, m.dev); err != nil {
		return err
	}
	select {
	case <-m.served:
		return nil
	case <-ctx.Done():
	case <-time.After(unmountPatience):
	}
	return fmt.Errorf("FUSE mount %s is gone but a request to the device has not returned", m.dir)
}
