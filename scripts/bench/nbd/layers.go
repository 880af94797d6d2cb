package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/snapview/snapview/cow"
)

// layerBlocks is how many random blocks the layers of a chain hold together,
// however many layers there are.
const layerBlocks = 32 << 10

// layers prints what reading costs over chains of 1, 8 and 64 layers, which hold
// the same number of blocks together.
func layers(ctx context.Context, c config, base string, w io.Writer) error {
	c, done, err := inMemory(c)
	if err != nil {
		return err
	}
	defer done()
	depths := []int{1, 8, 64}
	servers := []string{"snapview", "qemu-nbd"}
	r := row{rw: "randread", block: 4 << 10, depth: 32, conns: 1}
	values := make(map[string]map[int][]value)
	lookups := make(map[int][]float64)
	procs := make(map[string]map[int]*process)
	for _, name := range servers {
		values[name], procs[name] = make(map[int][]value), make(map[int]*process)
	}
	// All chains are served at once, so that every run measures all of them.
	var open func(i int) error
	open = func(i int) error {
		if i == len(depths)*len(servers) {
			return measureLayers(ctx, c, r, depths, servers, procs, values)
		}
		name, depth := servers[i%len(servers)], depths[i/len(servers)]
		prepare := func(dir string) error {
			if name != "snapview" {
				return qcow2Chain(ctx, c, dir, base, depth)
			}
			err := overlayChain(c, dir, base, depth)
			for run := 0; run < c.runs && err == nil; run++ {
				var v float64
				if v, err = lookupTime(c, dir, base); err == nil {
					lookups[depth] = append(lookups[depth], v)
				}
			}
			return err
		}
		return withServer(ctx, c, name, base, prepare, func(p *process) error {
			procs[name][depth] = p
			return open(i + 1)
		})
	}
	if err := open(0); err != nil {
		return fmt.Errorf("layers: %w", err)
	}

	fmt.Fprintf(w, "\nChains of layers that hold %d random blocks together: finding a block in snapview's map, and %s over NBD.\n\n", layerBlocks, r.name())
	fmt.Fprintf(w, "| layers | snapview, lookup, ns | snapview, IOPS | qemu-nbd, IOPS | snapview, CPU µs | qemu-nbd, CPU µs |\n|---|---|---|---|---|---|\n")
	for _, depth := range depths {
		fmt.Fprintf(w, "| %d | %.0f |", depth, median(lookups[depth]))
		for _, verb := range []struct {
			format string
			pick   func(value) float64
		}{{" %.0f |", func(v value) float64 { return v.rate }}, {" %.1f |", func(v value) float64 { return v.cpu }}} {
			for _, name := range servers {
				var v []float64
				for _, x := range values[name][depth] {
					v = append(v, verb.pick(x))
				}
				fmt.Fprintf(w, verb.format, median(v))
			}
		}
		fmt.Fprintln(w)
	}
	return nil
}

func measureLayers(ctx context.Context, c config, r row, depths []int, servers []string, procs map[string]map[int]*process, values map[string]map[int][]value) error {
	for run := range c.runs {
		for i := range depths {
			depth := depths[(i+run)%len(depths)]
			for _, name := range servers {
				v, err := measure(ctx, r, procs[name][depth], c)
				if err != nil {
					return fmt.Errorf("%s over %d: %w", name, depth, err)
				}
				values[name][depth] = append(values[name][depth], v)
				fmt.Fprintf(os.Stderr, "run %d/%d  %d layers %-9s %10.0f IOPS  %7.1f µs\n", run+1, c.runs, depth, name, v.rate, v.cpu)
			}
		}
	}
	return nil
}

// scattered returns the blocks of each layer of a chain.
func scattered(size int64, depth int) [][]int64 {
	rnd := rand.New(rand.NewPCG(5, 64))
	layers := make([][]int64, depth)
	for i := range layerBlocks {
		layers[i%depth] = append(layers[i%depth], rnd.Int64N(size/cow.BlockSize))
	}
	for _, l := range layers {
		slices.Sort(l)
	}
	return layers
}

// overlayChain makes a chain of layers in dir for the server to resume.
func overlayChain(c config, dir, base string, depth int) (err error) {
	f, err := os.Open(base)
	if err != nil {
		return err
	}
	defer f.Close()
	o, err := newOverlay(f, c.size, dir, cow.Options{Ref: benchRef})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	buf := bytes.Repeat([]byte{0x5a}, cow.BlockSize)
	for i, blocks := range scattered(c.size, depth) {
		for _, b := range blocks {
			if _, err := o.WriteAt(buf, b*cow.BlockSize); err != nil {
				return err
			}
		}
		if i < depth-1 {
			if _, err := o.Checkpoint(fmt.Sprint(i)); err != nil {
				return err
			}
		}
	}
	return o.Sync()
}

// lookupTime opens the chain in dir and returns how many nanoseconds it takes to
// find a random block.
func lookupTime(c config, dir, base string) (float64, error) {
	f, err := os.Open(base)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	o, err := resumeOverlay(f, c.size, dir)
	if err != nil {
		return 0, err
	}
	defer o.Close()
	rnd := rand.New(rand.NewPCG(7, 7))
	offsets := make([]int64, 1<<16)
	for i := range offsets {
		offsets[i] = rnd.Int64N(c.size/cow.BlockSize) * cow.BlockSize
	}
	const rounds = 8
	start := time.Now()
	for range rounds {
		for _, off := range offsets {
			_, release, ok := o.MapFile(off, cow.BlockSize)
			if !ok {
				return 0, fmt.Errorf("no file has the block at %d", off)
			}
			release()
		}
	}
	return float64(time.Since(start).Nanoseconds()) / float64(rounds*len(offsets)), nil
}

// qcow2Chain makes a chain of qcow2 images in dir, the last of which is served.
func qcow2Chain(ctx context.Context, c config, dir, base string, depth int) error {
	below, format := base, "raw"
	for i, blocks := range scattered(c.size, depth) {
		name := filepath.Join(dir, fmt.Sprintf("layer%d.qcow2", i))
		if i == depth-1 {
			name = filepath.Join(dir, qcow2Name)
		}
		if out, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F", format, name).CombinedOutput(); err != nil {
			return fmt.Errorf("qemu-img: %w: %s", err, out)
		}
		var script bytes.Buffer
		for _, b := range blocks {
			fmt.Fprintf(&script, "write -q -P 0x5a %d %d\n", b*cow.BlockSize, cow.BlockSize)
		}
		cmd := exec.CommandContext(ctx, "qemu-io", "-f", "qcow2", "-t", "unsafe", name)
		cmd.Stdin = &script
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("qemu-io: %w: %s", err, lastLines(out))
		}
		below, format = name, "qcow2"
	}
	return nil
}
