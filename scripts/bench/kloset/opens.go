package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/snapview/snapview/scripts/bench/measure"
)

const firstQuery = "select count(*) from pgbench_branches"

// opens measures from the store to the first row.
func (b *bench) opens() error {
	first := make([][]float64, len(stores))
	var restored []float64
	for run := range b.runs {
		log.Printf("to the first row, run %d of %d", run+1, b.runs)
		for i, s := range stores {
			took, err := b.firstRow(s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			first[i] = append(first[i], took)
		}
		took, err := b.restoreAndStart()
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		restored = append(restored, took)
	}
	fmt.Println("| from the store, nothing cached, to | first row, s | written to the disk |")
	fmt.Println("| --- | --- | --- |")
	fmt.Printf("| full restore of the plain store (by this reader, all files), pg_ctl start | %.2f | all of it |\n", measure.Median(restored))
	for i, s := range stores {
		fmt.Printf("| **snapview query**, %s | %.2f | overlay only |\n", s.name, measure.Median(first[i]))
	}
	fmt.Println("\nBound: 2 s to the first row on a cluster of 1.5 GB (plain; the key of an encrypted store takes Argon2id about a second).")
	fmt.Println()
	return nil
}

// firstRow runs snapview query and waits for the row, not for the closing.
func (b *bench) firstRow(s store) (float64, error) {
	if err := measure.DropCaches(); err != nil {
		return 0, err
	}
	return measure.FirstRow(b.ctx, b.program, []string{
		"--state-dir", b.path("state"), "--quiet", "query", b.path(s.file),
		"--runner", "local", "--db", "postgres", "--format", "csv", firstQuery,
	}, "SNAPVIEW_PASSPHRASE="+passphrase)
}

// restoreAndStart is the alternative: all files are written, then a server is
// started on them.
func (b *bench) restoreAndStart() (took float64, err error) {
	if err := measure.DropCaches(); err != nil {
		return 0, err
	}
	to := b.path("kloset-restored")
	if err := os.RemoveAll(to); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(to)) }()
	began := time.Now()
	if err := b.restore(stores[0], to); err != nil {
		return 0, err
	}
	server := func(script string) error {
		cmd := exec.CommandContext(b.ctx, "bash", "-euo", "pipefail", "-c", `
			as() { setpriv --reuid=postgres --regid=postgres --init-groups env -C / LC_ALL=C.UTF-8 "$@"; }
			`+script)
		cmd.Env = append(os.Environ(), "TO="+to, "BIN="+b.bin, "SOCKET="+b.path("socket"), "QUERY="+firstQuery)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	}
	err = server(`chown -R postgres: "$TO"; chmod 700 "$TO"
		as "$BIN/pg_ctl" -D "$TO" -w -s -l "$SOCKET/log" -o "-k $SOCKET -p 54398 -c listen_addresses=" start >/dev/null
		as "$BIN/psql" -h "$SOCKET" -p 54398 -U postgres -XqAt -d postgres -c "$QUERY" >/dev/null`)
	took = time.Since(began).Seconds()
	return took, errors.Join(err, server(`as "$BIN/pg_ctl" -D "$TO" -m fast -w -s stop`))
}

// restore writes all files of a store's snapshot.
func (b *bench) restore(s store, to string) error {
	snap, _, err := b.open(s)
	if err != nil {
		return err
	}
	defer snap.Close()
	return fs.WalkDir(snap.Tree, "data", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		at := filepath.Join(to, strings.TrimPrefix(name, "data"))
		if d.IsDir() {
			return os.MkdirAll(at, 0o700)
		}
		in, err := snap.Tree.Open(name)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(at, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, 1<<20))
		return errors.Join(err, out.Close())
	})
}
