package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// needsDocker is for tests that run PostgreSQL of a major version in Docker.
func needsDocker(t *testing.T, major string) {
	t.Helper()
	snapshottest.Need(t, os.Geteuid() == 0, "root")
	err := exec.Command("docker", "image", "inspect", "postgres:"+major).Run()
	snapshottest.Need(t, err == nil, "a Docker engine with the image postgres:"+major+" (scripts/dockerd.sh, scripts/pg-image.sh)")
}

// containers lists the containers of snapview that the engine knows.
func containers(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("docker", "ps", "-aq", "--filter", "label=io.snapview.session").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

const state17 = `select (select count(*) from acct), (select sum(balance) from acct), (select count(*) from shrink), (select count(*) from tst)`

func TestDockerShowsPostgreSQL17AndItsIncrementalBackups(t *testing.T) {
	needsDocker(t, "17")
	for name, want := range map[string]string{
		"fp-full": "10000,10000000,1500,2000", "fp-incr1": "10000,10000010,700,2100", "fp-incr2": "10000,10000070,1100,2100",
	} {
		t.Run(name, func(t *testing.T) {
			ref := chain17(t, name)
			snapshottest.Untouched(t, filepath.Dir(ref))
			out := must(t, stateDir(t), "query", ref, "--runner", "docker", "--db", "postgres", "--format", "csv", state17)
			if got := lastLine(out); got != want {
				t.Errorf("the backup answered %q, want %q", got, want)
			}
			if left := containers(t); left != "" {
				t.Errorf("containers left behind: %s", left)
			}
		})
	}
}

func TestAutoTakesDockerWhereNothingIsInstalled(t *testing.T) {
	needsDocker(t, "17")
	r := start(t, stateDir(t), "open", chain17(t, "fp-full"), "--db", "postgres")
	ready := r.untilReady()
	if _, err := os.Stat("/usr/lib/postgresql/17"); err != nil && ready["runner"] != "docker" {
		t.Errorf("the runner is %v", ready["runner"])
	}
	if got := ask(t, ready["psql"].(string), `select count(*)::text from acct`); got != "10000" {
		t.Errorf("acct has %s rows", got)
	}
	r.signal(syscall.SIGTERM)
	if code := r.exit(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	if left := containers(t); left != "" {
		t.Errorf("containers left behind: %s", left)
	}
}

func TestKilledSnapviewsContainerIsCleanedUpByGC(t *testing.T) {
	needsDocker(t, "17")
	state := stateDir(t)
	r := start(t, state, "open", chain17(t, "fp-full"), "--runner", "docker")
	r.untilReady()
	r.kill()
	must(t, state, "gc")
	r.exit()
	if left := leftBehind(t, state); left != "" {
		t.Errorf("gc left: %s", left)
	}
	if left := containers(t); left != "" {
		t.Errorf("containers left behind: %s", left)
	}
}
