package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/snapview/snapview/scripts/bench/measure"
	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset"
)

// Bounds that the figures are to keep.
const (
	maxRandom     = 0.3   // ms
	minSequential = 200.0 // MB/s per processor
	maxOpen       = 100.0 // ms, plain
)

const (
	page    = 8192
	warmSet = 64 << 20 // bytes that random reads go to, less than the cache has
	touches = 200      // first touches of chunks
	reads   = 20_000
)

// A measured is what one store took, a number for each run.
type measured struct{ openCold, openWarm, touch, random, sequential, perCPU []float64 }

// reads measures the source by itself: no mount, no server.
func (b *bench) reads() error {
	fmt.Println("| read through the source | open cold, ms | open warm, ms | 8 KiB, first touch of a chunk, ms | 8 KiB random, chunk cached, ms | sequential, MB/s | sequential, MB/s per processor |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- |")
	for _, s := range slices.Concat(stores, hard) {
		var m measured
		for run := range b.runs {
			log.Printf("%s, run %d of %d", s.name, run+1, b.runs)
			if err := b.readOnce(s, &m); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		fmt.Printf("| %s | %.0f | %.0f | %.2f | %.4f | %.0f | %.0f |\n", s.name, measure.Median(m.openCold), measure.Median(m.openWarm),
			measure.Median(m.touch), measure.Median(m.random), measure.Median(m.sequential), measure.Median(m.perCPU))
	}
	fmt.Printf("\nBounds: open at most %.0f ms (plain), random reads at most %.1f ms once the chunk is cached, sequential at least %.0f MB/s per processor.\n\n",
		maxOpen, maxRandom, minSequential)
	return nil
}

func (b *bench) open(s store) (*snapshot.Snapshot, float64, error) {
	began := time.Now()
	snap, err := kloset.Open(b.ctx, b.path(s.file), snapshot.Options{Passphrase: func(string) ([]byte, error) { return []byte(passphrase), nil }})
	return snap, float64(time.Since(began)) / 1e6, err
}

func (b *bench) readOnce(s store, m *measured) error {
	if err := measure.DropCaches(); err != nil {
		return err
	}
	snap, took, err := b.open(s)
	if err != nil {
		return err
	}
	m.openCold = append(m.openCold, took)
	if err := snap.Close(); err != nil {
		return err
	}
	if snap, took, err = b.open(s); err != nil {
		return err
	}
	m.openWarm = append(m.openWarm, took)
	err = b.measure(snap, m, (*measured).pages)
	if err = errors.Join(err, snap.Close()); err != nil {
		return err
	}
	if snap, _, err = b.open(s); err != nil { // with nothing decoded yet
		return err
	}
	err = b.measure(snap, m, (*measured).scan)
	return errors.Join(err, snap.Close())
}

// measure opens the largest file and measures it.
func (b *bench) measure(snap *snapshot.Snapshot, m *measured, how func(*measured, io.ReaderAt, int64) error) error {
	name, size, err := largest(snap)
	if err != nil {
		return err
	}
	f, err := snap.Tree.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(how(m, f.(io.ReaderAt), size), f.Close())
}

// pages reads pages at random.
func (m *measured) pages(f io.ReaderAt, size int64) error {
	buf := make([]byte, page)
	// First touches: far apart, so that no two are in one chunk.
	began, n := time.Now(), 0
	for off := size / 2; off < size-page && n < touches; off += max(size/2/touches, 8<<20) {
		if _, err := f.ReadAt(buf, off/page*page); err != nil {
			return err
		}
		n++
	}
	m.touch = append(m.touch, float64(time.Since(began))/1e6/float64(n))

	set := min(warmSet, size/page*page)
	for off := int64(0); off < set; off += page {
		if _, err := f.ReadAt(buf, off); err != nil {
			return err
		}
	}
	began = time.Now()
	for range reads {
		if _, err := f.ReadAt(buf, rand.Int64N(set/page)*page); err != nil {
			return err
		}
	}
	m.random = append(m.random, float64(time.Since(began))/1e6/reads)
	return nil
}

// scan reads the file from front to back.
func (m *measured) scan(f io.ReaderAt, size int64) error {
	buf := make([]byte, 1<<20)
	cpu, began := processorTime(), time.Now()
	for off := int64(0); off < size; off += int64(len(buf)) {
		if _, err := f.ReadAt(buf, off); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	m.sequential = append(m.sequential, float64(size)/1e6/time.Since(began).Seconds())
	m.perCPU = append(m.perCPU, float64(size)/1e6/(processorTime()-cpu))
	return nil
}

// largest is the largest relation's file.
func largest(snap *snapshot.Snapshot) (name string, size int64, err error) {
	err = fs.WalkDir(snap.Tree, "data/base", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path.Base(at), "_") {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			name, size = at, info.Size()
		}
		return err
	})
	return name, size, err
}

// processorTime of this process so far, in seconds.
func processorTime() float64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		log.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
}
