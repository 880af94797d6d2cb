package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/cow"
)

const (
	memoryDevice  = 1 << 40  // 1 TiB
	memoryOverlay = 10 << 30 // of it held by the overlay
)

// memory prints what a server's process takes that serves a device of 1 TiB, of
// which the overlay holds 10 GiB. The overlay is written in full, but its data
// are thrown away meanwhile, which the map does not know: what counts is in
// memory, and nobody needs 10 GiB of disk for this.
func memory(ctx context.Context, c config, w io.Writer) error {
	c, done, err := inMemory(c)
	if err != nil {
		return err
	}
	defer done()
	base := filepath.Join(c.dir, "terabyte.raw")
	if err := os.WriteFile(base, nil, 0o600); err != nil {
		return err
	}
	defer os.Remove(base)
	if err := os.Truncate(base, memoryDevice); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nMemory of snapview's server for a device of 1 TiB of which the overlay holds 10 GiB, once it is open and after random\nreads. RSS has the pages of the program's file, given apart.\n\n")
	fmt.Fprintf(w, "| the overlay's blocks | RSS when open, MiB | RSS after reads, MiB | most ever, MiB | of it files, MiB |\n|---|---|---|---|---|\n")
	for _, random := range []bool{false, true} {
		name := "in one piece"
		if random {
			name = "pages of 8 KiB at random"
		}
		prepare := func(dir string) error { return largeOverlay(dir, base, random) }
		err := withServer(ctx, c, "snapview", base, prepare, func(p *process) error {
			opened, err := p.status("VmRSS")
			if err != nil {
				return err
			}
			whole := c
			whole.size = memoryDevice
			if _, err := measure(ctx, row{rw: "randread", block: 4 << 10, depth: 32, conns: 1}, p, whole); err != nil {
				return err
			}
			if _, err := measure(ctx, row{rw: "randread", block: 64 << 10, depth: 4, conns: 1}, p, whole); err != nil {
				return err
			}
			v, err := p.status("VmRSS", "VmHWM", "RssFile")
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "| %s | %.1f | %.1f | %.1f | %.1f |\n", name, mebibytes(opened[0]), mebibytes(v[0]), mebibytes(v[1]), mebibytes(v[2]))
			return nil
		})
		if err != nil {
			return fmt.Errorf("memory, blocks %s: %w", name, err)
		}
	}
	return nil
}

// largeOverlay makes the overlay of memory in dir.
func largeOverlay(dir, base string, random bool) (err error) {
	f, err := os.Open(base)
	if err != nil {
		return err
	}
	defer f.Close()
	o, err := newOverlay(f, memoryDevice, dir, cow.Options{Ref: benchRef, Headroom: -1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	data, release, ok := dataFile(o)
	if !ok {
		return errors.New("the overlay does not tell its data file")
	}
	defer release()
	unit := int64(1 << 20)
	if random {
		unit = 8 << 10 // a page of PostgreSQL
	}
	buf := make([]byte, unit)
	for i := range buf {
		buf[i] = 1
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	const forget = 256 << 20 // bytes after which the data are thrown away
	for k := int64(0); k < memoryOverlay/unit; k++ {
		off := memoryDevice/3 + k*unit
		if random {
			off = rnd.Int64N(memoryDevice/unit) * unit
		}
		if _, err := o.WriteAt(buf, off); err != nil {
			return err
		}
		if (k+1)*unit%forget == 0 || (k+1)*unit == memoryOverlay {
			if err := unix.Fallocate(data, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, memoryDevice); err != nil {
				return fmt.Errorf("throw data away: %w", err)
			}
		}
	}
	return o.Sync()
}

// dataFile returns the descriptor of the top's data file, which it makes the
// overlay tell by writing its first block.
func dataFile(o *cow.Overlay) (fd int, release func(), ok bool) {
	one := make([]byte, cow.BlockSize)
	one[0] = 1
	if _, err := o.WriteAt(one, 0); err != nil {
		return 0, nil, false
	}
	r, release, ok := o.MapFile(0, cow.BlockSize)
	return int(r.FD), release, ok
}
