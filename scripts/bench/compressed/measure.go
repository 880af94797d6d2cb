package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/sources"
)

// A bench knows where everything lies.
type bench struct {
	ctx     context.Context
	backup  string
	dir     string
	bin     string
	program string
}

// folder is where a format's tars lie.
func (b *bench) folder(f *format) string { return filepath.Join(b.dir, "tar"+f.suffix) }

// output runs a script with what the scripts here share.
func (b *bench) output(f *format, script string) (string, error) {
	cmd := exec.CommandContext(b.ctx, "bash", "-euo", "pipefail", "-c", `
		as() { setpriv --reuid=postgres --regid=postgres --init-groups env -C / LC_ALL=C.UTF-8 "$@"; }
		drop() { sync -f "$DIR"; echo 3 >/proc/sys/vm/drop_caches; }
		`+script)
	cmd.Env = append(os.Environ(), "DIR="+b.dir, "BIN="+b.bin, "BACKUP="+b.backup, "FOLDER="+b.folder(f),
		"SUFFIX="+f.suffix, "COMPRESS="+f.compress, "EXPAND="+f.expand, "PROGRAM="+b.program)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w in %s\n%s", err, strings.TrimSpace(script), out)
	}
	return string(out), nil
}

// prepare compresses the backup, once.
func (b *bench) prepare(f *format) error {
	if _, err := os.Stat(b.folder(f)); err == nil {
		return nil
	}
	_, err := b.output(f, `
		mkdir -p "$DIR"; chmod 755 "$DIR"; rm -rf "$FOLDER.new"; mkdir "$FOLDER.new"
		cp "$BACKUP/backup_manifest" "$FOLDER.new"
		for tar in "$BACKUP"/*.tar; do
			$COMPRESS <"$tar" >"$FOLDER.new/$(basename "$tar")$SUFFIX"
		done
		mv "$FOLDER.new" "$FOLDER"`)
	return err
}

func (b *bench) measure(f *format, reads int) error {
	opts := snapshot.Options{CacheDir: filepath.Join(b.dir, "cache")}
	if err := os.RemoveAll(opts.CacheDir); err != nil {
		return err
	}
	if f.suffix != "" {
		if err := b.pass(f, opts); err != nil {
			return err
		}
	}
	for range 3 {
		began := time.Now()
		s, err := sources.Open(b.ctx, b.folder(f), opts)
		if err != nil {
			return err
		}
		f.again = append(f.again, time.Since(began).Seconds()*1000)
		if err := s.Close(); err != nil {
			return err
		}
	}
	if err := b.randomReads(f, opts, reads); err != nil {
		return err
	}
	return b.firstRow(f)
}

// pass opens the backup for the first time.
func (b *bench) pass(f *format, opts snapshot.Options) error {
	cpu, began := cpuTime(), time.Now()
	s, err := sources.Open(b.ctx, b.folder(f), opts)
	if err != nil {
		return err
	}
	wall, used := time.Since(began).Seconds(), (cpuTime() - cpu).Seconds()
	var data, kept int64
	for _, x := range s.Indexes() {
		data, kept = data+x.DataBytes, kept+x.Bytes
	}
	f.perCore = append(f.perCore, float64(data)/1e6/used)
	f.wall = append(f.wall, wall)
	f.share = append(f.share, 100*float64(kept)/float64(data))
	return s.Close()
}

// cpuTime is what this process has used of the processors.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// randomReads reads pages of the largest files, all of them together as likely
// as another, from the page cache.
func (b *bench) randomReads(f *format, opts snapshot.Options, reads int) error {
	s, err := sources.Open(b.ctx, b.folder(f), opts)
	if err != nil {
		return err
	}
	defer s.Close()
	type file struct {
		io.ReaderAt
		pages int64
	}
	var files []file
	var pages int64
	err = fs.WalkDir(s.Tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() < 1<<20 || strings.Contains(name, "pg_wal") {
			return err
		}
		open, err := s.Tree.Open(name)
		if err == nil {
			files = append(files, file{open.(io.ReaderAt), info.Size() / 8192})
			pages += info.Size() / 8192
		}
		return err
	})
	if err != nil {
		return err
	}
	var took []float64
	page := make([]byte, 8192)
	for range reads {
		n, i := rand.Int64N(pages), 0
		for ; n >= files[i].pages; i++ {
			n -= files[i].pages
		}
		began := time.Now()
		if _, err := files[i].ReadAt(page, n*8192); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		took = append(took, time.Since(began).Seconds()*1000)
	}
	slices.Sort(took)
	f.read = append(f.read, took[len(took)/2])
	f.slow = append(f.slow, took[len(took)*95/100])
	return nil
}

const firstQuery = `select count(*) from pg_class`

// firstRow measures the program as a whole, its index being there, and the
// alternative.
func (b *bench) firstRow(f *format) error {
	timed := func(script string) string {
		return "t0=$(date +%s.%N); " + script + "; t1=$(date +%s.%N); echo TOOK $t0 $t1\n"
	}
	for _, c := range []struct {
		script string
		took   *[]float64
	}{
		{`mkdir -pm 711 "$DIR/state"; drop
			` + timed(`"$PROGRAM" --state-dir "$DIR/state" -q query "$FOLDER" --cache-dir "$DIR/cache" --runner local --db shop "`+firstQuery+`" >/dev/null`), &f.first},
		{`rm -rf "$DIR/un"*; install -d -o postgres -m 700 "$DIR/unpacked" "$DIR/unspaces" "$DIR/socket"
			unpack() {
				$EXPAND <"$FOLDER/base.tar$SUFFIX" | as tar -xC "$DIR/unpacked"
				$EXPAND <"$FOLDER/pg_wal.tar$SUFFIX" | as tar -xC "$DIR/unpacked/pg_wal"
				for tar in "$FOLDER"/[0-9]*.tar"$SUFFIX"; do
					[ -e "$tar" ] || continue
					oid=$(basename "$tar" ".tar$SUFFIX")
					as mkdir "$DIR/unspaces/$oid"
					$EXPAND <"$tar" | as tar -xC "$DIR/unspaces/$oid"
					sed -i "s#^$oid .*#$oid $DIR/unspaces/$oid#" "$DIR/unpacked/tablespace_map"
				done
				as "$BIN/pg_ctl" -D "$DIR/unpacked" -w -s -l "$DIR/socket/log" -o "-k $DIR/socket -p 54397 -c listen_addresses=" start >/dev/null
				as "$BIN/psql" -h "$DIR/socket" -p 54397 -U postgres -XqAt -d shop -c "` + firstQuery + `" >/dev/null
			}
			drop
			` + timed("unpack") + `
			as "$BIN/pg_ctl" -D "$DIR/unpacked" -m fast -w -s stop; rm -rf "$DIR/unpacked" "$DIR/unspaces"`, &f.restored},
	} {
		out, err := b.output(f, c.script)
		if err != nil {
			return err
		}
		seconds, err := parseTook(out)
		if err != nil {
			return err
		}
		*c.took = append(*c.took, seconds)
	}
	return nil
}

// parseTook finds the line that timed printed.
func parseTook(out string) (float64, error) {
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "TOOK" {
			t0, err0 := strconv.ParseFloat(words[1], 64)
			t1, err1 := strconv.ParseFloat(words[2], 64)
			return t1 - t0, errors.Join(err0, err1)
		}
	}
	return 0, fmt.Errorf("no time in %q", out)
}
