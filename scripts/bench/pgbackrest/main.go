// Command pgbackrest measures how long it takes from a pgBackRest repository to
// the first row of a query, and reads of its largest table's file at random,
// beside what the tool itself does: restore, then start.
//
// It makes a cluster with pgbench and a repository of each kind, once. The page
// cache and snapview's own cache are dropped before each run to the first row.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/snapview/snapview/scripts/bench/measure"
)

// A repository is one way of keeping the backup.
type repository struct {
	name  string
	title string
	conf  string
}

var repositories = []repository{
	{"gz", "gz, the default", "compress-type=gz"},
	{"zst", "zst, bundled", "compress-type=zst\nrepo1-bundle=y"},
	{"lz4-cipher", "lz4, bundled, encrypted", "compress-type=lz4\nrepo1-bundle=y\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=sesame"},
	{"none", "uncompressed", "compress-type=none"},
}

const firstQuery = "select count(*) from pgbench_branches"

type bench struct {
	ctx     context.Context
	dir     string
	bin     string
	program string
	tool    string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench/pgbackrest: ")
	dir := flag.String("dir", "/var/tmp/snapview-bench-pgbackrest", "where the cluster and the repositories lie")
	bin := flag.String("pgbin", "/usr/lib/postgresql/15/bin", "PostgreSQL's programs")
	program := flag.String("snapview", "bin/snapview", "the program that is measured")
	tool := flag.String("pgbackrest", "pgbackrest", "pgBackRest")
	runs := flag.Int("runs", 5, "runs of each")
	scale := flag.Int("scale", 100, "of pgbench")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{ctx: ctx, dir: *dir, bin: *bin, program: *program, tool: *tool}
	if err := errors.Join(b.prepare(*scale), b.opens(*runs), b.reads()); err != nil {
		log.Fatal(err)
	}
}

func (b *bench) repo(r repository) string { return filepath.Join(b.dir, r.name) }

// shell runs a script as the user postgres.
func (b *bench) shell(script string) error {
	cmd := exec.CommandContext(b.ctx, "runuser", "-u", "postgres", "--", "env", "DIR="+b.dir, "PATH="+b.bin+":"+os.Getenv("PATH"),
		"PGHOST="+b.dir, "PGUSER=postgres", "PGDATABASE=postgres", "bash", "-euc", script)
	cmd.Dir = b.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s\n%s", err, script, out)
	}
	return nil
}

// prepare makes the cluster and the repositories if they are not there.
func (b *bench) prepare(scale int) error {
	if _, err := os.Stat(filepath.Join(b.dir, "done")); err == nil {
		return nil
	}
	log.Printf("making the repositories in %s", b.dir)
	if err := errors.Join(os.RemoveAll(b.dir), os.MkdirAll(b.dir, 0o755)); err != nil {
		return err
	}
	if out, err := exec.CommandContext(b.ctx, "chown", "postgres:", b.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	err := b.shell(fmt.Sprintf(`initdb -D data -A trust -U postgres --no-locale -E UTF8 -N -k >/dev/null; mkdir wal
		pg_ctl -D data -w -l log -o "-c listen_addresses= -c unix_socket_directories=$DIR -c fsync=off -c archive_mode=on -c archive_command='cp %%p $DIR/wal/%%f'" start >/dev/null
		pgbench -q -i -s %d 2>/dev/null`, scale))
	for _, r := range repositories {
		if err == nil {
			err = b.shell(fmt.Sprintf(`printf '%%s\n' '[global]' log-level-file=off "log-path=$DIR" "lock-path=$DIR/lock" "spool-path=$DIR/spool" start-fast=y \
			archive-check=n process-max=2 "repo1-path=%s" '%s' '[main]' "pg1-path=$DIR/data" "pg1-socket-path=$DIR" >%s.conf
			%s --config=$DIR/%[3]s.conf --stanza=main --log-level-console=error stanza-create
			%[4]s --config=$DIR/%[3]s.conf --stanza=main --log-level-console=error --type=full backup
			for f in wal/*; do %[4]s --config=$DIR/%[3]s.conf --stanza=main archive-push $DIR/$f; done`, b.repo(r), r.conf, r.name, b.tool))
		}
	}
	return errors.Join(err, b.shell(`pg_ctl -D data -w -m fast stop >/dev/null; touch done`))
}

// opens measures from the repository to the first row.
func (b *bench) opens(runs int) error {
	fmt.Println("| from the repository, nothing cached, to | restore by pgBackRest, start, first row, s | **snapview query**, first row, s |")
	fmt.Println("| --- | --- | --- |")
	for _, r := range repositories {
		var theirs, ours []float64
		for run := range runs {
			log.Printf("%s, to the first row, run %d of %d", r.name, run+1, runs)
			took, err := b.restore(r)
			if err != nil {
				return err
			}
			theirs = append(theirs, took)
			if took, err = b.query(r); err != nil {
				return err
			}
			ours = append(ours, took)
		}
		fmt.Printf("| %s | %.2f | %.2f |\n", r.title, measure.Median(theirs), measure.Median(ours))
	}
	fmt.Println()
	return nil
}

// restore has the tool restore the backup and starts a server on it.
func (b *bench) restore(r repository) (float64, error) {
	if err := errors.Join(b.shell(`rm -rf restored; mkdir -m 700 restored`), measure.DropCaches()); err != nil {
		return 0, err
	}
	began := time.Now()
	err := b.shell(fmt.Sprintf(`%s --config=$DIR/%s.conf --stanza=main --pg1-path=$DIR/restored --type=immediate --target-action=promote --log-level-console=error restore
		pg_ctl -D restored -w -l log -o "-c listen_addresses= -c unix_socket_directories=$DIR -c archive_mode=off" start >/dev/null
		psql -Atc '%s' >/dev/null`, b.tool, r.name, firstQuery))
	took := time.Since(began).Seconds()
	return took, errors.Join(err, b.shell(`pg_ctl -D restored -w -m immediate stop >/dev/null; rm -rf restored`))
}

// query runs snapview query and waits for the row, not for the closing.
func (b *bench) query(r repository) (float64, error) {
	cacheDir := filepath.Join(b.dir, "cache")
	if err := errors.Join(os.RemoveAll(cacheDir), measure.DropCaches()); err != nil {
		return 0, err
	}
	return measure.FirstRow(b.ctx, b.program, []string{
		"--state-dir", filepath.Join(b.dir, "state"), "--quiet", "query", b.repo(r),
		"--cache-dir", cacheDir, "--runner", "local", "--db", "postgres", "--format", "csv", firstQuery,
	}, "SNAPVIEW_PASSPHRASE=sesame")
}
