package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/nbdserver"
)

// A process is a running server.
type process struct {
	cmd *exec.Cmd
	uri string
	dir string
}

// qcow2Name is the overlay of qemu-nbd in its folder. One that is there already
// is served as it is.
const qcow2Name = "overlay.qcow2"

// inMemory returns c with a folder on a file system in memory, where there is one:
// for overlays that only have to be there, and whose making would wait for the
// disk all the time. done removes it.
func inMemory(c config) (_ config, done func(), err error) {
	dir, err := os.MkdirTemp("/dev/shm", "snapview-bench-nbd-")
	if err != nil {
		dir, err = os.MkdirTemp(c.dir, "memory-")
	}
	c.dir = dir
	return c, func() { os.RemoveAll(dir) }, err
}

// withServer makes a folder, has prepare (unless it is nil) put an overlay there,
// and calls use while the server runs.
func withServer(ctx context.Context, c config, name, base string, prepare func(dir string) error, use func(*process) error) (err error) {
	dir, err := os.MkdirTemp(c.dir, "server-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if prepare != nil {
		if err := prepare(dir); err != nil {
			return err
		}
	}
	p, err := startServer(ctx, name, dir, base, 0, c)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	return use(p)
}

// startServer starts one with an overlay in dir and waits for its socket.
func startServer(ctx context.Context, name, dir, base string, run int, c config) (*process, error) {
	sock := filepath.Join(dir, "sock")
	var args []string
	kind, build, _ := strings.Cut(name, "@")
	switch kind {
	case "snapview":
		self := build // another build of this program, to compare with
		if self == "" {
			var err error
			if self, err = os.Executable(); err != nil {
				return nil, err
			}
		}
		args = []string{self, "-serve", sock, "-dir", dir, "-device", c.device}
		if c.profile != "" {
			args = append(args, "-cpuprofile", fmt.Sprintf("%s%d", c.profile, run+1))
		}
	case "nbdkit":
		args = []string{"nbdkit", "-f", "-U", sock, "--filter=cow", "file", base}
	case "nbdkit-4k": // blocks as small as snapview's
		args = []string{"nbdkit", "-f", "-U", sock, "--filter=cow", "file", base, "cow-block-size=4096"}
	case "qemu-nbd":
		overlay := filepath.Join(dir, qcow2Name)
		if _, err := os.Stat(overlay); err == nil {
			// a chain
		} else if out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("qemu-img: %w: %s", err, out)
		}
		args = []string{"qemu-nbd", "-f", "qcow2", "-t", "-e", "8", "-k", sock, overlay}
	default:
		return nil, fmt.Errorf("unknown server %q", name)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "SNAPVIEW_BENCH_BASE="+base)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, uri: "nbd+unix:///?socket=" + sock, dir: dir}
	for range 600 {
		nc, err := net.Dial("unix", sock)
		if err == nil {
			nc.Close()
			return p, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, errors.Join(errors.New("no socket after 30 s"), p.stop())
}

// cpuTime returns what the process has used so far, user and system.
func (p *process) cpuTime() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// proc(5): fields 14 and 15, in ticks of 10 ms. The name, which may hold
	// anything, ends with the last parenthesis, and field 3 follows.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields", p.cmd.Process.Pid, len(f))
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

// stop ends the server in order.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	// Killed by the signal that was sent is an orderly end for the peers.
	if err := p.cmd.Wait(); err != nil && p.cmd.ProcessState == nil {
		return err
	}
	return nil
}

// runServer is the process that serves snapview's side.
func runServer(ctx context.Context, sock string, c config) error {
	if c.profile != "" {
		f, err := os.Create(c.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	base, err := os.Open(os.Getenv("SNAPVIEW_BENCH_BASE"))
	if err != nil {
		return err
	}
	defer base.Close()
	fi, err := base.Stat()
	if err != nil {
		return err
	}
	var dev block.Device
	switch c.device {
	case "cow":
		dev, err = overlayOver(base, fi.Size(), c.dir)
	case "file":
		dev, err = copyOf(base, fi.Size(), c.dir)
	default:
		err = fmt.Errorf("unknown device %q", c.device)
	}
	if err != nil {
		return err
	}
	defer dev.Close()
	srv, err := nbdserver.New(nbdserver.Options{})
	if err != nil {
		return err
	}
	if err := srv.AddExport(nbdserver.Export{Device: dev}); err != nil {
		return err
	}
	l, err := net.Listen("unix", sock)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, nbdserver.ErrServerClosed) {
		return err
	}
	return srv.Shutdown(context.Background())
}

// benchRef names the overlay in a store.
const benchRef = "bench"

// overlayOver resumes the overlay in dir, or makes an empty one.
func overlayOver(base *os.File, size int64, dir string) (block.Device, error) {
	if _, err := os.Stat(filepath.Join(dir, "layers")); err == nil {
		return resumeOverlay(base, size, dir)
	}
	return newOverlay(base, size, dir, cow.Options{})
}

var benchBase = cow.BaseID{1}

func newOverlay(base *os.File, size int64, dir string, o cow.Options) (*cow.Overlay, error) {
	store, err := cow.CreateStore(filepath.Join(dir, "layers"), cow.StoreOptions{BaseID: benchBase, VirtualSize: size})
	if err != nil {
		return nil, err
	}
	return store.NewTop(cow.LayerID{}, cow.Base{Reader: fileReader{base, size}, ID: benchBase}, o)
}

func resumeOverlay(base *os.File, size int64, dir string) (*cow.Overlay, error) {
	store, err := cow.OpenStore(filepath.Join(dir, "layers"))
	if err != nil {
		return nil, err
	}
	return store.Resume(benchRef, cow.Base{Reader: fileReader{base, size}, ID: benchBase}, cow.Options{Ref: benchRef})
}

// copyOf serves a writable copy: the server's speed without an overlay's.
func copyOf(base *os.File, size int64, dir string) (block.Device, error) {
	f, err := os.Create(filepath.Join(dir, "copy.raw"))
	if err != nil {
		return nil, err
	}
	// In large writes, like the base: copy_file_range would leave pages of
	// 4 KiB in the page cache, which are slower to read from.
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{base}, make([]byte, 1<<20)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return fileDevice{fileReader{f, size}}, nil
}

// fileReader is a raw file as a base.
type fileReader struct {
	*os.File
	size int64
}

func (r fileReader) Size() int64 { return r.size }

// MapFile implements block.FileMapper: every byte lies in the file.
func (r fileReader) MapFile(off, n int64) (block.FileRange, func(), bool) {
	if off < 0 || off >= r.size {
		return block.FileRange{}, nil, false
	}
	return block.FileRange{FD: r.Fd(), Offset: off, Length: min(n, r.size-off)}, func() {}, true
}

type fileDevice struct{ fileReader }

func (d fileDevice) Sync() error { return d.File.Sync() }

func (d fileDevice) Zero(off, n int64) error {
	zeros := make([]byte, min(n, 1<<20))
	for n > 0 {
		k, err := d.WriteAt(zeros[:min(n, int64(len(zeros)))], off)
		if err != nil {
			return err
		}
		off, n = off+int64(k), n-int64(k)
	}
	return nil
}
