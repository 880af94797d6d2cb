package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/snapview/snapview/scripts/bench/measure"
	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/sources"
)

const page = 8192

// reads measures reads of the largest file: forwards while it is decoded, and at
// random then.
func (b *bench) reads() error {
	fmt.Println("| the largest file, read through the source | first page, ms | forwards the first time, MB/s | 8 KiB at random afterwards, us median | forwards again, MB/s |")
	fmt.Println("| --- | --- | --- | --- | --- |")
	for _, r := range repositories {
		if err := b.read(r); err != nil {
			return err
		}
	}
	fmt.Println()
	return nil
}

func (b *bench) read(r repository) error {
	cacheDir := filepath.Join(b.dir, "cache")
	if err := errors.Join(os.RemoveAll(cacheDir), measure.DropCaches()); err != nil {
		return err
	}
	s, err := sources.Open(b.ctx, b.repo(r), snapshot.Options{
		CacheDir: cacheDir, Passphrase: func(string) ([]byte, error) { return []byte("sesame"), nil },
	})
	if err != nil {
		return err
	}
	defer s.Close()
	var largest string
	var size int64
	err = fs.WalkDir(s.Tree, "data/base", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			largest, size = name, info.Size()
		}
		return err
	})
	if err != nil {
		return err
	}
	f, err := s.Tree.Open(largest)
	if err != nil {
		return err
	}
	defer f.Close()
	at := f.(io.ReaderAt) // every file of a tree is
	buf := make([]byte, page)
	began := time.Now()
	if _, err := at.ReadAt(buf, 0); err != nil {
		return err
	}
	first := time.Since(began)
	forwards := func() (float64, error) {
		began := time.Now()
		n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{io.NewSectionReader(at, 0, size)}, make([]byte, 256<<10))
		return float64(n) / 1e6 / time.Since(began).Seconds(), err
	}
	once, err := forwards()
	if err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	var random []float64
	for range 2000 {
		began := time.Now()
		if _, err := at.ReadAt(buf, rnd.Int64N(size/page)*page); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		random = append(random, float64(time.Since(began).Nanoseconds())/1e3)
	}
	again, err := forwards()
	if err != nil {
		return err
	}
	fmt.Printf("| %s, %d MB | %.1f | %.0f | %.0f | %.0f |\n", r.title, size/1e6, float64(first.Microseconds())/1e3, once, measure.Median(random), again)
	return nil
}
