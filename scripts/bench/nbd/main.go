// Command nbd compares the speed of snapview's NBD server over an overlay with
// its peers: nbdkit's file plugin under its cow filter, and qemu-nbd with a
// qcow2 overlay on a raw image.
//
// All servers run at once over the same raw file, each with an overlay of its
// own on the same file system, on unix sockets. Every row is measured with
// fio's NBD engine (libnbd) for each server in turn before the next row, the
// order rotating from run to run, over overlays that are new for each kind of
// rows.
// The table shows the median over the runs and the least and the most, and a
// second one the CPU time (user and system) that the server spent on a request,
// which depends less on what else the machine does, a third one that of client
// and server together: on a busy machine that is what decides.
//
// Further tables show the space that overlays take after random updates, the
// memory of snapview's server for a large device, and what reading costs over
// chains of layers.
//
//	go run ./scripts/bench/nbd -runs 5 -runtime 1s
//
// It needs fio with ioengine=nbd, nbdkit, qemu-nbd, qemu-img and qemu-io.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type config struct {
	dir     string
	size    int64 // of the base, in bytes
	runs    int
	runtime time.Duration
	rows    string
	servers string
	device  string
	profile string
	tables  string
}

func main() {
	var c config
	var serve string
	flag.StringVar(&c.dir, "dir", "", "folder for the base and the overlays, on the file system to measure on (default: a temporary one)")
	flag.Int64Var(&c.size, "size", 512<<20, "size of the base in bytes")
	flag.IntVar(&c.runs, "runs", 5, "runs; the table shows medians")
	flag.DurationVar(&c.runtime, "runtime", time.Second, "time of one measurement")
	flag.StringVar(&c.rows, "rows", "", "only rows whose name contains this")
	flag.StringVar(&c.servers, "servers", "snapview,nbdkit,qemu-nbd,nbdkit-4k", "servers to measure, the first is compared with the others; snapview@FILE is another build of this program")
	flag.StringVar(&c.device, "device", "cow", "what snapview serves: cow (an overlay over the base), file (a copy of the base itself)")
	flag.StringVar(&c.tables, "tables", "speed,space,memory,layers", "what to measure")
	flag.StringVar(&c.profile, "cpuprofile", "", "write snapview's CPU profile to a file whose name begins with this; use with one kind of rows")
	flag.StringVar(&serve, "serve", "", "internal: serve on this socket")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if serve != "" {
		err = runServer(ctx, serve, c)
	} else {
		err = compare(ctx, c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench nbd:", err)
		os.Exit(1)
	}
}

func compare(ctx context.Context, c config) error {
	servers := strings.Split(c.servers, ",")
	for _, tool := range []string{"fio", "nbdkit", "qemu-nbd", "qemu-img", "qemu-io"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is needed: %w", tool, err)
		}
	}
	if c.dir == "" {
		dir, err := os.MkdirTemp("", "snapview-bench-nbd-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		c.dir = dir
	}
	base := filepath.Join(c.dir, "base.raw")
	if err := makeBase(base, c.size); err != nil {
		return err
	}
	defer os.Remove(base)

	for _, table := range strings.Split(c.tables, ",") {
		var err error
		switch table {
		case "speed":
			err = speed(ctx, c, base, servers, os.Stdout)
		case "space":
			err = space(ctx, c, base, os.Stdout)
		case "memory":
			err = memory(ctx, c, os.Stdout)
		case "layers":
			err = layers(ctx, c, base, os.Stdout)
		default:
			err = fmt.Errorf("no table %q", table)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// speed measures all rows with all servers.
func speed(ctx context.Context, c config, base string, servers []string, w io.Writer) error {
	rows := selectRows(c.rows)
	if len(rows) == 0 {
		return fmt.Errorf("no row has %q in its name", c.rows)
	}
	results := newResults(rows, servers)
	for run := range c.runs {
		if err := oneRun(ctx, c, base, run, rows, servers, results); err != nil {
			return err
		}
	}
	results.print(w, c)
	return nil
}

// oneRun measures every row with every server. Rows that read, random writes and
// sequential writes each have fresh servers with fresh overlays: an overlay that
// has been written at random is another one to write sequentially, as the rows
// that say so show.
func oneRun(ctx context.Context, c config, base string, run int, rows []row, servers []string, res *results) error {
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].group() == rows[0].group() {
			n++
		}
		if err := oneGroup(ctx, c, base, run, rows[:n], servers, res); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// oneGroup measures rows one after the other over the same overlays.
func oneGroup(ctx context.Context, c config, base string, run int, rows []row, servers []string, res *results) (err error) {
	procs := make(map[string]*process)
	for _, name := range servers {
		dir, err := os.MkdirTemp(c.dir, "server-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		p, err := startServer(ctx, name, dir, base, run, c)
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		defer func() { err = errors.Join(err, p.stop()) }()
		procs[name] = p
	}
	for _, r := range rows {
		for i := range servers {
			name := servers[(i+run)%len(servers)]
			if name == beside && r.group() == "reads" {
				continue // as nbdkit
			}
			v, err := measure(ctx, r, procs[name], c)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", name, r.name(), err)
			}
			res.add(r, name, v)
			fmt.Fprintf(os.Stderr, "run %d/%d  %-40s %-9s %10.0f %-5s %7.1f µs %7.1f µs with client\n", run+1, c.runs, r.name(), name, v.rate, r.unit(), v.cpu, v.all)
		}
	}
	return nil
}

// makeBase writes a file without holes or zero blocks and leaves it in the
// page cache.
func makeBase(name string, size int64) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := make([]byte, 1<<20)
	x := uint64(1)
	for off := int64(0); off < size; off += int64(len(buf)) {
		for i := range buf {
			x = x*6364136223846793005 + 1442695040888963407
			buf[i] = byte(x >> 56)
		}
		if _, err := f.Write(buf[:min(int64(len(buf)), size-off)]); err != nil {
			return err
		}
	}
	return f.Sync()
}
