// Command open measures how long it takes from a backup on disk to the first
// row of a query, and to a scan of its largest table, beside what people would
// do instead: start a copy restored before, unpack the tar and start that, a
// qcow2 overlay on a raw image, overlayfs on an unpacked copy.
//
// The alternatives' restores are not counted where the table says so; snapview
// has none. The page cache is dropped before each run, runs are interleaved,
// and medians are printed.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/open: ")
	dir := flag.String("dir", "/var/tmp/snapview-bench", "where the backup and its copies lie")
	bin := flag.String("pgbin", "/usr/lib/postgresql/15/bin", "PostgreSQL's programs")
	program := flag.String("snapview", "bin/snapview", "the program that is measured")
	runs := flag.Int("runs", 5, "runs of each")
	scale := flag.Int("scale", 100, "of pgbench")
	withOpens := flag.Bool("opens", true, "measure opening and scanning")
	withFio := flag.Bool("fio", true, "also compare reads in the mount with fio")
	seconds := flag.Int("seconds", 3, "of each fio job")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{ctx: ctx, dir: *dir, bin: *bin, program: *program}
	if err := b.prepare(*scale); err != nil {
		log.Fatal(err)
	}
	if *withOpens {
		results, err := b.measureOpens(*runs)
		if err != nil {
			log.Fatal(err)
		}
		printOpens(results)
	}
	if *withFio {
		if err := b.measureFio(*runs, *seconds); err != nil {
			log.Fatal(err)
		}
	}
}

// printOpens prints one row for each way.
func printOpens(results []*result) {
	fmt.Println("| from the backup to | before it, not counted | first row, s | scan cold, s | scan warm, s | read from backup | written, first row | written, all tables counted |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, r := range results {
		fmt.Printf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", r.name, r.before,
			seconds(r.first), seconds(r.cold), seconds(r.warm), mib(r.read), kib(r.written), kib(r.writtenAll))
	}
	fmt.Println()
	copyOf, ours := results[0], results[len(results)-1]
	fmt.Printf("snapview beside the restored copy: first row %.2f s (bound %.2f), cold scan %.2f times, warm scan %.2f times (bound 1.30).\n\n",
		median(ours.first), 1.5*median(copyOf.first)+0.3, median(ours.cold)/median(copyOf.cold), median(ours.warm)/median(copyOf.warm))
}

func seconds(v []float64) string {
	if len(v) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", median(v))
}

func mib(v []float64) string {
	if len(v) == 0 {
		return ""
	}
	return strings.TrimSuffix(fmt.Sprintf("%.2f MB", median(v)/1e6), ".00")
}

func kib(v []float64) string {
	if len(v) == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f KiB", median(v)/1024)
}
