package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Where the host has put a backup, if all of snapview is to be tested.
const (
	backup = "/backup/fp"
	state  = "/run/state"
	psql   = "/usr/lib/postgresql/15/bin/psql"
)

// product are the checks of the whole of snapview, with a real PostgreSQL.
var product = []check{
	{"open by nbd", openByNBD},
	{"gc after kill -9", gcAfterKill},
}

// A session is a running snapview open.
type session struct {
	cmd    *exec.Cmd
	events *bufio.Scanner
	url    string // for psql
	device string // what it says of the device
}

// open starts snapview and waits until the session is ready.
func open(args ...string) (*session, error) {
	if err := os.MkdirAll(state, 0o711); err != nil {
		return nil, err
	}
	args = append([]string{"--state-dir", state, "--json", "open", backup, "--attach", "nbd", "--runner", "local"}, args...)
	s := &session{cmd: exec.Command("snapview", args...)}
	s.cmd.Stderr = os.Stderr
	pipe, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.events = bufio.NewScanner(pipe)
	for s.events.Scan() {
		var e struct{ Event, Phase, Message, PSQL string }
		if err := json.Unmarshal(s.events.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("%q: %w", s.events.Text(), err)
		}
		if e.Phase == "attach" && e.Message != "" {
			s.device = e.Message
		}
		if e.Event == "ready" {
			s.url = e.PSQL
			return s, nil
		}
	}
	return nil, errors.Join(errors.New("snapview open ends before it is ready"), s.cmd.Wait())
}

// end waits for the end of a session that was told to.
func (s *session) end() error {
	for s.events.Scan() { // lest it wait for its reader
	}
	done := make(chan error, 1)
	go func() { done <- s.cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		return errors.New("snapview does not end")
	}
}

func (s *session) ask(sql string) (string, error) {
	out, err := exec.Command(psql, s.url, "-XAtc", sql).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// openByNBD opens the backup by the kernel's NBD client, asks, writes in vain,
// and closes.
func openByNBD() error {
	s, err := open("--db", "postgres")
	if err != nil {
		return err
	}
	err = func() error {
		if s.device != "/dev/nbd0 by nbd" {
			return fmt.Errorf("attached as %q", s.device)
		}
		if freeNBD(0) {
			return errors.New("nbd0 is not connected")
		}
		answer, err := s.ask("select count(*), sum(balance) from acct")
		if err != nil || answer != "10000|10000000" {
			return fmt.Errorf("acct: %q, %w", answer, err)
		}
		answer, err = s.ask("insert into acct select * from acct limit 1")
		if err == nil || !strings.Contains(answer, "read-only") {
			return fmt.Errorf("a write: %q, %w", answer, err)
		}
		return nil
	}()
	err = errors.Join(err, s.cmd.Process.Signal(unix.SIGTERM))
	var exit *exec.ExitError
	if ended := s.end(); !errors.As(ended, &exit) || exit.ExitCode() != 130 {
		err = errors.Join(err, fmt.Errorf("snapview open ends with %w, want exit status 130", ended))
	}
	return errors.Join(err, stateIsEmpty())
}

// gcAfterKill kills a scratch server's session that is being written to.
func gcAfterKill() error {
	s, err := open("--db", "postgres", "--writable")
	if err != nil {
		return err
	}
	load := exec.Command(psql, s.url, "-XAtc", "create table t as select generate_series(1, 100000000), repeat('x', 500)")
	if err := load.Start(); err != nil {
		return err
	}
	size, _ := s.ask("select pg_database_size('postgres')")
	err = wait("the database to grow", func() bool {
		now, err := s.ask("select pg_database_size('postgres')")
		return err == nil && now != size
	})
	err = errors.Join(err, s.cmd.Process.Kill())
	err = errors.Join(err, run("snapview", "--state-dir", state, "gc"))
	_ = s.end() // killed
	_ = load.Process.Kill()
	_ = load.Wait()
	return errors.Join(err, stateIsEmpty())
}

func stateIsEmpty() error {
	var errs []error
	for _, folder := range []string{"sessions", "stores"} {
		left, err := filepath.Glob(filepath.Join(state, folder, "*"))
		if err != nil || len(left) > 0 {
			errs = append(errs, fmt.Errorf("left behind: %v, %w", left, err))
		}
	}
	return errors.Join(errs...)
}
