package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/snapshot/snapshottest/objectstest"
)

const (
	firstQuery = `select count(*) from pgbench_branches`
	scanQuery  = `select sum(abalance) from pgbench_accounts`
)

// A bench knows where everything lies.
type bench struct {
	ctx      context.Context
	dir      string // holds backup/, which is the bucket
	bin      string
	program  string
	work     string // for what the runs write
	endpoint string
}

func (b *bench) cache() string { return filepath.Join(b.work, "cache") }

// sh runs a script as the other benchmarks do, with their functions.
func (b *bench) sh(script string) error {
	cmd := exec.CommandContext(b.ctx, "bash", "-euo", "pipefail", "-c", `
		as() { setpriv --reuid=postgres --regid=postgres --init-groups env -C / LC_ALL=C.UTF-8 "$@"; }
		start() { as "$BIN/pg_ctl" -D "$1" -w -s -l "$1/log" -o "-k $1 -p 54398 -c listen_addresses=" start >/dev/null; }
		stop() { as "$BIN/pg_ctl" -D "$1" -m fast -w -s stop; }
		drop() { sync -f "$WORK"; echo 3 >/proc/sys/vm/drop_caches; }
		get() { curl -fsS -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' --aws-sigv4 "aws:amz:$REGION:s3" --user "$KEY:$SECRET" "$ENDPOINT/backup/$1"; }
		`+script)
	cmd.Env = append(os.Environ(), "WORK="+b.work, "BIN="+b.bin, "ENDPOINT="+b.endpoint,
		"REGION="+objectstest.Region, "KEY="+objectstest.AccessKey, "SECRET="+objectstest.SecretKey)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w in %s\n%s", err, strings.TrimSpace(script), out)
	}
	return nil
}

// download measures the alternative. The download is unpacked as it comes.
func (b *bench) download(r *result, size int64) error {
	data := filepath.Join(b.work, "data")
	if err := b.sh(`chmod 711 "$WORK"; mkdir "$WORK/data"; chown postgres: "$WORK/data"; chmod 700 "$WORK/data"; drop`); err != nil {
		return err
	}
	began := time.Now()
	if err := b.sh(`get base.tar | as tar -C "$WORK/data" -x; get pg_wal.tar | as tar -C "$WORK/data/pg_wal" -x; start "$WORK/data"`); err != nil {
		return err
	}
	err := b.ask("host="+data+" port=54398 user=postgres dbname=postgres", r, began)
	r.fetched, r.scanned = append(r.fetched, float64(size)), append(r.scanned, 0)
	return errors.Join(err, b.sh(`stop "$WORK/data"; rm -rf "$WORK/data"`))
}

// ask measures the two queries, the page cache dropped between them.
func (b *bench) ask(url string, r *result, began time.Time) error {
	if err := b.query(url, firstQuery); err != nil {
		return err
	}
	r.first = append(r.first, time.Since(began).Seconds())
	if err := b.sh("drop"); err != nil {
		return err
	}
	began = time.Now()
	if err := b.query(url, scanQuery); err != nil {
		return err
	}
	r.scan = append(r.scan, time.Since(began).Seconds())
	return nil
}

func (b *bench) query(url, sql string) error {
	conn, err := pgx.Connect(b.ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(b.ctx)
	var n int64
	if err := conn.QueryRow(b.ctx, sql).Scan(&n); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// snapview opens the backup in the bucket.
func (b *bench) snapview(r *result) (err error) {
	if err := b.sh("drop"); err != nil {
		return err
	}
	state := filepath.Join(b.work, "state")
	if err := os.MkdirAll(state, 0o711); err != nil {
		return err
	}
	began := time.Now()
	cmd := exec.CommandContext(b.ctx, b.program, "--state-dir", state, "--json", "open", "s3://backup", "--runner", "local", "--db", "postgres", "--cache-dir", b.cache())
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+b.endpoint, "AWS_REGION="+objectstest.Region,
		"AWS_ACCESS_KEY_ID="+objectstest.AccessKey, "AWS_SECRET_ACCESS_KEY="+objectstest.SecretKey)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if werr := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
			err = errors.Join(err, werr)
		}
	}()
	var ready struct {
		Event string `json:"event"`
		ID    string `json:"id"`
		Psql  string `json:"psql"`
	}
	lines := bufio.NewScanner(out)
	for ready.Event != "ready" {
		if !lines.Scan() {
			return errors.New("snapview open ended before it was ready")
		}
		_ = json.Unmarshal(lines.Bytes(), &ready) // other events have other fields
	}
	go func() {
		for lines.Scan() {
		}
	}()
	if err := b.query(ready.Psql, firstQuery); err != nil {
		return err
	}
	r.first = append(r.first, time.Since(began).Seconds())
	until, err := b.fetched(state, ready.ID)
	if err != nil {
		return err
	}
	r.fetched = append(r.fetched, until)
	if err := b.sh("drop"); err != nil {
		return err
	}
	began = time.Now()
	if err := b.query(ready.Psql, scanQuery); err != nil {
		return err
	}
	r.scan = append(r.scan, time.Since(began).Seconds())
	all, err := b.fetched(state, ready.ID)
	r.scanned = append(r.scanned, all-until)
	return err
}

// fetched asks a session what it has read from the backup.
func (b *bench) fetched(state, id string) (float64, error) {
	out, err := exec.CommandContext(b.ctx, "curl", "-sS", "--unix-socket", state+"/sessions/"+id+"/control.sock",
		"http://localhost/api/v1/sessions/"+id).Output()
	if err != nil {
		return 0, fmt.Errorf("asking for the figures: %w", err)
	}
	var info struct {
		Stats struct {
			Read float64 `json:"backupBytesRead"`
		} `json:"stats"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return 0, fmt.Errorf("asking for the figures: %w in %s", err, out)
	}
	return info.Stats.Read, nil
}
