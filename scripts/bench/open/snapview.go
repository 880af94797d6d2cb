package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// A opened snapview, and where it can be asked.
type opened struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	ready struct {
		Event string `json:"event"`
		ID    string `json:"id"`
		Psql  string `json:"psql"`
	}
	state string
}

// open starts snapview open and returns when it is ready.
func (b *bench) open() (*opened, error) {
	o := &opened{state: b.path("state")}
	o.cmd = exec.CommandContext(b.ctx, b.program, "--state-dir", o.state, "--json", "open", b.path("backup"), "--runner", "local", "--db", "postgres")
	o.cmd.Stderr = os.Stderr
	o.cmd.Cancel = func() error { return o.cmd.Process.Signal(syscall.SIGTERM) }
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := o.cmd.Start(); err != nil {
		return nil, err
	}
	o.lines = bufio.NewScanner(out)
	for o.lines.Scan() {
		if err := json.Unmarshal(o.lines.Bytes(), &o.ready); err == nil && o.ready.Event == "ready" {
			go func() {
				for o.lines.Scan() {
				}
			}()
			return o, nil
		}
	}
	return nil, fmt.Errorf("snapview open ended before it was ready: %w", o.cmd.Wait())
}

func (o *opened) close() error {
	if err := o.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := o.cmd.Wait()
	if o.cmd.ProcessState.ExitCode() == 130 {
		return nil
	}
	return fmt.Errorf("snapview open: %w", err)
}

// stats are the session's figures, from its history of samples.
func (b *bench) stats(o *opened) (read, overlay float64, err error) {
	out, err := exec.CommandContext(b.ctx, "curl", "-sS", "--unix-socket", o.state+"/sessions/"+o.ready.ID+"/control.sock",
		"http://localhost/api/v1/sessions/"+o.ready.ID).Output()
	if err != nil {
		return 0, 0, fmt.Errorf("asking for the figures: %w", err)
	}
	var info struct {
		Stats struct {
			Overlay float64 `json:"overlayBytes"`
			Read    float64 `json:"backupBytesRead"`
		} `json:"stats"`
	}
	if err := json.Unmarshal(out, &info); err != nil {
		return 0, 0, fmt.Errorf("asking for the figures: %w in %s", err, out)
	}
	return info.Stats.Read, info.Stats.Overlay, nil
}

// ask runs a query on a connection of its own, as psql would.
func (b *bench) ask(url, sql string) (time.Duration, error) {
	began := time.Now()
	conn, err := pgx.Connect(b.ctx, url)
	if err != nil {
		return 0, err
	}
	defer conn.Close(b.ctx)
	if _, err := conn.Exec(b.ctx, sql); err != nil {
		return 0, fmt.Errorf("%s: %w", sql, err)
	}
	return time.Since(began), nil
}

// runSnapview measures what runWay measures, and the bytes.
func (b *bench) runSnapview(r *result) error {
	if err := b.sh("drop"); err != nil {
		return err
	}
	began := time.Now()
	o, err := b.open()
	if err != nil {
		return err
	}
	if _, err := b.ask(o.ready.Psql, firstQuery); err != nil {
		return err
	}
	r.first = append(r.first, time.Since(began).Seconds())
	if err := b.sh("sync -f " + o.state + "/sessions/*/disk/mnt"); err != nil {
		return err
	}
	read, overlay, err := b.stats(o)
	if err != nil {
		return err
	}
	r.read, r.written = append(r.read, read), append(r.written, overlay)

	if err := b.sh("drop"); err != nil {
		return err
	}
	for _, into := range []*[]float64{&r.cold, &r.warm} {
		took, err := b.ask(o.ready.Psql, scanQuery)
		if err != nil {
			return err
		}
		*into = append(*into, took.Seconds())
	}
	for _, table := range strings.Fields("pgbench_branches pgbench_tellers pgbench_history") {
		if _, err := b.ask(o.ready.Psql, "select count(*) from "+table); err != nil {
			return err
		}
	}
	if err := b.sh("sync -f " + o.state + "/sessions/*/disk/mnt"); err != nil {
		return err
	}
	if _, overlay, err = b.stats(o); err != nil {
		return err
	}
	r.writtenAll = append(r.writtenAll, overlay)
	return o.close()
}
