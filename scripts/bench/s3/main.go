// Command s3 measures how long it takes from a backup in an object store that
// is a round trip away to the first row of a query, and to a scan of its
// largest table, beside what people would do instead: download the tars,
// unpack them, start the server.
//
// The store is a real S3 server on this machine; a proxy on the loopback delays
// each direction. The backup is the one that bench/open makes. snapview is
// measured with an empty cache and with what the run before has left.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/snapview/snapview/snapshot/snapshottest/objectstest"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/s3: ")
	b := &bench{}
	flag.StringVar(&b.dir, "dir", "/var/tmp/snapview-bench", "where bench/open has put its backup")
	flag.StringVar(&b.bin, "pgbin", "/usr/lib/postgresql/15/bin", "PostgreSQL's programs")
	flag.StringVar(&b.program, "snapview", "bin/snapview", "the program that is measured")
	server := flag.String("server", objectstest.Program("."), "the S3 server that scripts/s3server.sh builds")
	runs := flag.Int("runs", 5, "runs of each")
	delay := flag.Duration("delay", 20*time.Millisecond, "round trip to the store")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b.ctx = ctx
	if err := b.run(*server, *runs, *delay); err != nil {
		log.Fatal(err)
	}
}

func (b *bench) run(program string, runs int, delay time.Duration) (err error) {
	var size int64
	for _, name := range []string{"base.tar", "pg_wal.tar"} {
		info, err := os.Stat(filepath.Join(b.dir, "backup", name))
		if err != nil {
			return fmt.Errorf("%w: run scripts/bench/open first", err)
		}
		size += info.Size()
	}
	if b.work, err = os.MkdirTemp(filepath.Dir(b.dir), "s3-snapview-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	side := filepath.Join(b.work, "side")
	if err := os.Mkdir(side, 0o700); err != nil {
		return err
	}
	server, err := objectstest.Start(program, b.dir, side)
	if err != nil {
		return err
	}
	defer server.Stop()
	far, err := objectstest.NewDelay(server.Address, delay)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, far.Close()) }()
	b.endpoint = "http://" + far.Address

	download := &result{name: "download (curl), tar -x, pg_ctl start"}
	first := &result{name: "**snapview open s3://...**, the first time"}
	again := &result{name: "**snapview open s3://...**, again"}
	for run := range runs {
		log.Printf("run %d of %d", run+1, runs)
		if err := b.download(download, size); err != nil {
			return err
		}
		if err := os.RemoveAll(b.cache()); err != nil {
			return err
		}
		for _, r := range []*result{first, again} {
			if err := b.snapview(r); err != nil {
				return err
			}
		}
	}
	fmt.Printf("| from a bucket %s away to | first row, s | fetched until then | scan of the largest table, s | fetched by it |\n| --- | --- | --- | --- | --- |\n", delay)
	for _, r := range []*result{download, first, again} {
		fmt.Printf("| %s | %.2f | %.1f MB | %.2f | %.0f MB |\n", r.name, median(r.first), median(r.fetched)/1e6, median(r.scan), median(r.scanned)/1e6)
	}
	fmt.Printf("\nsnapview with an empty cache: first row %.2f s (bound 5.00), %.1f MB fetched (bound 40).\n\n", median(first.first), median(first.fetched)/1e6)
	return nil
}

// A result is what one way took, a number for each run.
type result struct {
	name             string
	first, scan      []float64 // seconds
	fetched, scanned []float64 // bytes
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
