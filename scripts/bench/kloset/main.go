// Command kloset measures reading a backup where it lies in a Plakar Kloset:
// opening it, random and sequential reads, and from the store to the first row
// of a query, beside restoring it whole and starting the copy.
//
// The stores are made of bench/open's cluster by package klosettest, as plakar
// cannot be had everywhere: chunks, packfiles, LZ4 and encryption as plakar's
// own defaults have them. The restore is therefore this reader's, which writes
// all files to the disk and nothing else.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/snapview/snapview/snapshot/kloset/klosettest"
)

const passphrase = "benchmark"

// A bench knows where everything lies.
type bench struct {
	ctx     context.Context
	dir     string // of bench/open, with the stores
	bin     string // PostgreSQL's programs
	program string // snapview
	runs    int
}

func (b *bench) path(elem ...string) string {
	return filepath.Join(append([]string{b.dir}, elem...)...)
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/kloset: ")
	b := &bench{}
	flag.StringVar(&b.dir, "dir", "/var/tmp/snapview-bench", "where bench/open's backup lies, and the stores")
	flag.StringVar(&b.bin, "pgbin", "/usr/lib/postgresql/15/bin", "PostgreSQL's programs")
	flag.StringVar(&b.program, "snapview", "bin/snapview", "the program that is measured")
	flag.IntVar(&b.runs, "runs", 5, "runs of each")
	scale := flag.Int("scale", 100, "of pgbench, if the backup has to be made")
	opens := flag.Bool("opens", true, "measure from the store to the first row")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b.ctx = ctx
	if err := b.run(*scale, *opens); err != nil {
		log.Fatal(err)
	}
}

func (b *bench) run(scale int, opens bool) error {
	if err := b.prepare(scale); err != nil {
		return err
	}
	if err := b.reads(); err != nil {
		return err
	}
	if !opens {
		return nil
	}
	return b.opens()
}

// A store is one of those that are measured.
type store struct {
	name  string
	file  string // below the bench's folder
	opts  klosettest.Options
	noise int64 // bytes of a table that does not compress, in place of all large ones
}

var (
	encrypted = klosettest.Options{Passphrase: passphrase, KDF: "ARGON2ID", Effort: true}

	stores = []store{
		{name: "store, plain", file: "kloset-plain"},
		{name: "store, encrypted", file: "kloset-encrypted", opts: encrypted},
		{name: "single file (.ptar), plain", file: "kloset.ptar"},
	}
	// hard are those that are only read: pgbench's tables compress to a tenth.
	hard = []store{
		{name: "store, plain, data that does not compress", file: "kloset-noise", noise: 512 << 20},
		{name: "store, encrypted, data that does not compress", file: "kloset-noise-encrypted", opts: encrypted, noise: 512 << 20},
	}
)

// prepare makes the backup and the stores, once.
func (b *bench) prepare(scale int) error {
	cmd := exec.CommandContext(b.ctx, "go", "run", "./scripts/bench/open", "-opens=false", "-fio=false",
		"-dir", b.dir, "-pgbin", b.bin, "-scale", strconv.Itoa(scale))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("bench/open: %w", err)
	}
	for _, s := range slices.Concat(stores, hard) {
		if _, err := os.Stat(b.path(s.file)); err == nil {
			continue
		}
		log.Printf("writing %s (once)", b.path(s.file))
		part := b.path(s.file + ".part")
		if err := os.RemoveAll(part); err != nil {
			return err
		}
		if err := b.write(s, part); err != nil {
			return err
		}
		if err := os.Rename(part, b.path(s.file)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) write(s store, to string) error {
	files, err := klosettest.Dir(b.path("lower"), "/")
	if err != nil {
		return err
	}
	if s.noise > 0 {
		files = slices.DeleteFunc(files, func(f klosettest.File) bool { return f.Size > 32<<20 })
		files = append(files, klosettest.File{Path: "/base/1/99999", Mode: 0o600, Size: s.noise, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.LimitReader(rand.NewChaCha8([32]byte{1}), s.noise)), nil
		}})
	}
	snap := klosettest.Snapshot{Name: "bench", Time: time.Now(), Files: files}
	if filepath.Ext(s.file) == ".ptar" {
		_, err = klosettest.Ptar(to, s.opts, snap)
		return err
	}
	w, err := klosettest.Create(to, s.opts)
	if err != nil {
		return err
	}
	_, err = w.Snapshot(snap)
	return err
}
