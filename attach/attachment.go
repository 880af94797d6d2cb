package attach

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// An Attachment is a mounted device. Its methods may be called concurrently.
type Attachment struct {
	method     Method
	mountPoint string
	device     string // "loop3"
	record     func(Resource) error
	logger     *slog.Logger

	mu   sync.Mutex // of Detach
	held []*holding // in the order in which they were taken
}

// A holding is a resource that was taken, with what gives it back. release may
// be called again after it failed.
type holding struct {
	resource Resource
	release  func(context.Context) error
}

// Method says how the device is attached: NBD or FUSE, never Auto.
func (a *Attachment) Method() Method { return a.method }

// MountPoint is the directory where the file system is mounted, absolute.
func (a *Attachment) MountPoint() string { return a.mountPoint }

// DeviceName is the block device's name as in /sys/block, "loop3" or "nbd0".
func (a *Attachment) DeviceName() string { return a.device }

// SetReadAhead sets how many bytes the kernel reads ahead of a sequential
// reader, rounded up to KiB. It counts for files opened from now on: the
// kernel copies it into each file when that is opened.
func (a *Attachment) SetReadAhead(bytes int64) error {
	return setReadAhead("/dev/"+a.device, bytes)
}

// take records a resource, takes it, and records it again. get fills in what
// it learns of r and returns how to undo; when it fails it has undone all.
func (a *Attachment) take(r Resource, get func(r *Resource) (func(context.Context) error, error)) error {
	r.ID = string(r.Kind) + ":" + r.ID
	r.PID, r.BootID = os.Getpid(), bootID()
	r.State = Wanted
	if err := a.record(r); err != nil {
		return fmt.Errorf("record the %s: %w", r.Kind, err)
	}
	release, err := get(&r)
	if err != nil {
		r.State = Released
		return errors.Join(err, a.record(r))
	}
	r.State = Held
	a.held = append(a.held, &holding{r, release})
	if err := a.record(r); err != nil {
		return fmt.Errorf("record the %s: %w", r.Kind, err)
	}
	return nil
}

// Detach gives everything back in reverse order: the mount, the block device,
// the FUSE mount, the directories. All errors are joined. What lies below
// something that could not be released is kept, since taking a disk away under
// a mounted file system would lose data or hang its users; Detach may be called
// again to go on. Once all is released it returns nil. A busy mount is retried
// until ctx ends, at most ten seconds; then the error is a *BusyError that
// names who holds it. Unmounting writes what is dirty, which nothing can
// interrupt: a Device that holds writes back must let them through, or fail
// them, before.
func (a *Attachment) Detach(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	var kept []*holding
	for i := len(a.held) - 1; i >= 0; i-- {
		h := a.held[i]
		err := h.release(ctx)
		if err == nil {
			h.resource.State = Released
			if err := a.record(h.resource); err != nil {
				errs = append(errs, fmt.Errorf("record the release of the %s: %w", h.resource.Kind, err))
			}
			continue
		}
		errs = append(errs, err)
		if h.resource.Kind != KindDir {
			kept = append(append([]*holding{}, a.held[:i+1]...), kept...)
			break
		}
		kept = append([]*holding{h}, kept...)
	}
	a.held = kept
	return errors.Join(errs...)
}

// attach is Attach.
func attach(ctx context.Context, cfg Config) (a *Attachment, err error) {
	cfg, err = cfg.complete()
	if err != nil {
		return nil, err
	}
	method, err := choose(cfg)
	if err != nil {
		return nil, err
	}
	a = &Attachment{
		method:     method,
		mountPoint: filepath.Join(cfg.Dir, "mnt"),
		record:     cfg.Record,
		logger:     cfg.Logger,
	}
	defer func() {
		if err == nil {
			return
		}
		// Undoing has its own time: ctx may be what ended the attempt.
		if undo := a.Detach(context.WithoutCancel(ctx)); undo != nil {
			err = errors.Join(err, fmt.Errorf("and could not be undone: %w", undo))
		}
		a = nil
	}()
	token := cfg.Dir // unique among attachments at a time
	steps := []func() error{
		func() error { return a.takeDir(token, cfg.Dir, 0o711) },
		func() error { return a.takeDir(token+"/mnt", a.mountPoint, 0o755) },
	}
	var undoLoop func()
	if method == NBD {
		steps = append(steps, func() error { return a.takeNBD(ctx, cfg) })
	} else {
		fuseDir := filepath.Join(cfg.Dir, "fuse")
		var m *fuseMount
		steps = append(steps,
			func() error { return a.takeDir(token+"/fuse", fuseDir, 0o700) },
			func() (err error) { m, err = a.takeFUSE(cfg, fuseDir); return err },
			func() (err error) { undoLoop, err = a.takeLoop(ctx, cfg, m); return err },
		)
	}
	steps = append(steps, func() error { return a.takeMount(cfg) })
	for _, step := range steps {
		if err = ctx.Err(); err != nil {
			break
		}
		if err = step(); err != nil {
			break
		}
	}
	// From here the mount holds the loop device; without a mount, closing
	// our descriptor is what frees it.
	if undoLoop != nil {
		undoLoop()
	}
	return a, err
}

// complete checks a Config and fills in defaults.
func (cfg Config) complete() (Config, error) {
	if cfg.Dir == "" {
		return cfg, errors.New("attach: Config.Dir is empty")
	}
	if cfg.Device == nil {
		return cfg, errors.New("attach: Config.Device is nil")
	}
	if n := cfg.Device.Size(); n <= 0 || n%loopSector != 0 {
		return cfg, fmt.Errorf("attach: the device's size, %d bytes, is no multiple of %d", n, loopSector)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return cfg, err
	}
	// The kernel shows resolved paths, and the records are compared to them.
	if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dir = filepath.Join(parent, filepath.Base(dir))
	}
	cfg.Dir = dir
	if cfg.Method == "" {
		cfg.Method = Auto
	}
	if cfg.NBDConnections <= 0 {
		cfg.NBDConnections = DefaultNBDConnections
	}
	if cfg.NBDTimeout == 0 {
		cfg.NBDTimeout = DefaultNBDTimeout
	}
	if cfg.ReadAheadBytes == 0 {
		cfg.ReadAheadBytes = DefaultReadAhead
	}
	if cfg.Record == nil {
		cfg.Record = func(Resource) error { return nil }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg, nil
}

// choose settles the method.
func choose(cfg Config) (Method, error) {
	switch cfg.Method {
	case FUSE:
		return FUSE, nil
	case NBD:
		if cfg.NBDSocket == "" {
			return "", errors.New("attach: the nbd method needs Config.NBDSocket")
		}
		return NBD, haveNBD(true)
	case Auto:
		if cfg.NBDSocket == "" {
			return FUSE, nil
		}
		if err := haveNBD(true); err != nil {
			cfg.Logger.Debug("attaching by fuse", "reason", err)
			return FUSE, nil
		}
		return NBD, nil
	}
	_, err := ParseMethod(string(cfg.Method))
	return "", err
}

// takeDir makes a directory, unless it is there.
func (a *Attachment) takeDir(id, path string, mode os.FileMode) error {
	if st, err := os.Lstat(path); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("%s is in the way: it is no directory", path)
		}
		return nil
	}
	return a.take(Resource{ID: id, Kind: KindDir, Path: path}, func(*Resource) (func(context.Context) error, error) {
		if err := os.Mkdir(path, mode); err != nil {
			return nil, err
		}
		// Mkdir's mode went through the umask.
		if err := os.Chmod(path, mode); err != nil {
			return nil, errors.Join(err, os.Remove(path))
		}
		return func(context.Context) error { return removeDir(path) }, nil
	})
}

// removeDir removes an empty directory; one that is gone is fine.
func removeDir(path string) error {
	if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove directory %s: %w", path, err)
	}
	return nil
}

func (a *Attachment) takeFUSE(cfg Config, dir string) (m *fuseMount, err error) {
	r := Resource{ID: cfg.Dir, Kind: KindFUSE, Path: dir, Source: "snapview-" + randomToken()}
	err = a.take(r, func(*Resource) (func(context.Context) error, error) {
		m, err = mountFUSE(dir, r.Source, newDiskFS(cfg.Device, cfg.ReadOnly), cfg.Logger)
		if err != nil {
			return nil, err
		}
		return m.unmount, nil
	})
	return m, err
}

// takeLoop returns, with the loop device taken, what closes our descriptor.
func (a *Attachment) takeLoop(ctx context.Context, cfg Config, m *fuseMount) (closeFD func(), err error) {
	r := Resource{ID: cfg.Dir, Kind: KindLoop, Backing: m.file(), BackingDev: m.dev, BackingIno: m.ino}
	fd := -1
	closeFD = func() {
		if fd >= 0 {
			unix.Close(fd)
			fd = -1
		}
	}
	err = a.take(r, func(r *Resource) (func(context.Context) error, error) {
		var err error
		fd, r.Path, err = setLoop(ctx, m.file(), "snapview", cfg.ReadOnly)
		if err != nil {
			return nil, err
		}
		device := r.Path
		return func(ctx context.Context) error {
			closeFD()
			return waitLoopFree(ctx, device, m.file())
		}, nil
	})
	a.device = strings.TrimPrefix(a.last().Path, "/dev/")
	return closeFD, err
}

func (a *Attachment) takeNBD(ctx context.Context, cfg Config) error {
	r := Resource{ID: cfg.Dir, Kind: KindNBD, Index: -1, Backend: "snapview-" + randomToken()}
	err := a.take(r, func(r *Resource) (func(context.Context) error, error) {
		return connectNBD(ctx, cfg, r, cfg.Logger)
	})
	a.device = strings.TrimPrefix(a.last().Path, "/dev/")
	return err
}

// last is the resource taken last.
func (a *Attachment) last() Resource {
	if len(a.held) == 0 {
		return Resource{}
	}
	return a.held[len(a.held)-1].resource
}

func (a *Attachment) takeMount(cfg Config) error {
	device := "/dev/" + a.device
	r := Resource{ID: cfg.Dir, Kind: KindMount, Path: a.mountPoint, Source: device}
	return a.take(r, func(*Resource) (func(context.Context) error, error) {
		restore := limitQueue(a.device, a.method, cfg.Logger)
		// Last, since other changes of the queue reset it.
		err := setReadAhead(device, cfg.ReadAheadBytes)
		if err == nil {
			err = mountExt4(device, a.mountPoint, cfg.ReadOnly)
		}
		if err != nil {
			restore()
			return nil, err
		}
		var st unix.Stat_t
		if err := unix.Stat(a.mountPoint, &st); err != nil {
			return nil, errors.Join(fmt.Errorf("stat %s: %w", a.mountPoint, err), unmountNow(a.mountPoint))
		}
		return func(ctx context.Context) error {
			// A frozen file system that is unmounted lives on and cannot
			// be thawed any more. If nothing is mounted, this thaws the
			// file system of the directory, which is not ours: look.
			if top, ok, err := topMount(a.mountPoint); err == nil && ok && top.source == device {
				if err := a.Thaw(); err != nil {
					a.logger.Warn("thaw before unmounting", "error", err)
				}
			}
			// An open descriptor keeps the loop device from clearing itself
			// at the unmount: what is restored must still be ours.
			fd, err := unix.Open(device, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				defer unix.Close(fd)
			}
			if err := unmount(ctx, a.mountPoint, uint64(st.Dev)); err != nil {
				return err
			}
			if fd >= 0 {
				restore()
			}
			return nil
		}, nil
	})
}

// randomToken is unique among all attachments there will ever be.
func randomToken() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
