// Command compressed measures what it costs to read a backup of compressed tars
// without unpacking it: the pass that makes the index, the index's size, random
// reads, opening it again, and the first row of a query, beside the same backup
// not compressed and beside what people do instead, which is to unpack it and
// start a server on that.
//
// The page cache is dropped where the table says cold, runs are interleaved,
// and medians are printed.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/snapview/snapview/scripts/bench/measure"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/compressed: ")
	b := &bench{}
	flag.StringVar(&b.backup, "backup", "/var/tmp/snapview-demo/backup", "a folder of plain tars, with the database shop")
	flag.StringVar(&b.dir, "dir", "/var/tmp/snapview-bench-compressed", "where it is compressed and unpacked")
	flag.StringVar(&b.bin, "pgbin", "/usr/lib/postgresql/15/bin", "PostgreSQL's programs")
	flag.StringVar(&b.program, "snapview", "bin/snapview", "the program that is measured")
	runs := flag.Int("runs", 5, "runs of each")
	reads := flag.Int("reads", 500, "random reads in each run")
	flag.Parse()

	var stop func()
	b.ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(*runs, *reads); err != nil {
		log.Fatal(err)
	}
}

// A format is a way in which the tars are compressed, and what was measured.
type format struct {
	name     string
	suffix   string
	compress string // a filter
	expand   string // the other way round

	perCore, wall, share []float64 // of the pass: MB/s, s, %
	read, slow           []float64 // of a random read: median and 95th percentile, ms
	again                []float64 // opening it once it has an index, ms
	first, restored      []float64 // first row, s
}

func (b *bench) run(runs, reads int) error {
	formats := []*format{
		{name: "not compressed", compress: "cat", expand: "cat"},
		{name: "gzip -6", suffix: ".gz", compress: "gzip -6", expand: "gzip -d"},
		{name: "lz4, linked blocks", suffix: ".lz4", compress: "lz4 -q -BD", expand: "lz4 -q -d"},
		{name: "zstd -3", suffix: ".zst", compress: "zstd -q -3", expand: "zstd -q -d"},
	}
	for _, f := range formats {
		if err := b.prepare(f); err != nil {
			return err
		}
	}
	for run := range runs {
		log.Printf("run %d of %d", run+1, runs)
		for _, f := range formats {
			if err := b.measure(f, reads); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
	}
	print(formats)
	return nil
}

func print(formats []*format) {
	fmt.Println("| the backup's tars | pass, MB/s of output for each core's second | pass, s | index or copy, % of the data | random 8 KiB, median / 95 %, ms | open again, ms | first row, cold, s | unpack, pg_ctl start, first row, cold, s |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, f := range formats {
		fmt.Printf("| %s | %s | %s | %s | %s / %s | %s | %s | %s |\n", f.name, number("%.0f", f.perCore), number("%.2f", f.wall),
			number("%.2f", f.share), number("%.3f", f.read), number("%.3f", f.slow), number("%.0f", f.again), number("%.2f", f.first), number("%.2f", f.restored))
	}
	fmt.Println()
	plain := formats[0]
	for _, f := range formats[1:] {
		fmt.Printf("%s: the second open is %+.2f s beside the plain tars' (bound +0.30).\n", f.name, (measure.Median(f.again)-measure.Median(plain.again))/1000)
	}
	fmt.Println()
}

func number(layout string, v []float64) string {
	if len(v) == 0 {
		return ""
	}
	return fmt.Sprintf(layout, measure.Median(v))
}
