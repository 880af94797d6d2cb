package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// TestForkAtTheLimit forks a session that has used most of what it may hold: a
// fork counts what it shares as well, has the same limit, and holds its own
// writes without a word to its parent.
func TestForkAtTheLimit(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "open", plainBackup(t), "--runner", "local", "--db", "postgres", "--writable", "--max-overlay", "24MiB")
	ready := r.untilReady()
	parent, url := ready["id"].(string), ready["psql"].(string)
	run1(t, url, `create table most as select g, repeat('x', 200) as t from generate_series(1, 50000) g`)
	run1(t, url, `checkpoint`)
	early := strings.TrimSpace(must(t, state, "checkpoint", parent, "--name", "early"))
	fork, forkURL := forkOf(t, state, parent, "--checkpoint", early, "--writable")
	if held := overlayOf(t, state, fork); held.LimitBytes != 24<<20 || held.OverlayBytes < 10<<20 {
		t.Errorf("the fork has %d bytes of %d", held.OverlayBytes, held.LimitBytes)
	}
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		// It may fail when the test does before there is room.
		exec.Command("psql", forkURL, "-qc", `create table more as select * from most union all select * from most`, "-c", `checkpoint`).Run() //nolint:errcheck
		// The kernel would take its time.
		exec.Command("sync", "-f", filepath.Join(state, "sessions", fork, "disk", "mnt")).Run() //nolint:errcheck
	}()
	waitFor(t, "the fork to hold its writes", func() bool { return overlayOf(t, state, fork).Holding })
	if overlayOf(t, state, parent).Holding {
		t.Error("the parent's writes are held too")
	}
	// Another fork at the limit opens, and reads; a checkpoint of what is held
	// is refused with the reason.
	second, secondURL := forkOf(t, state, parent, "--checkpoint", early)
	if got := ask(t, secondURL, `select count(*)::text from most`); got != "50000" {
		t.Errorf("the second fork has %s rows", got)
	}
	if _, errs, code := snapview(t, state, "checkpoint", fork); code == exitOK || !strings.Contains(errs, "raise the limit first") {
		t.Errorf("a checkpoint while writes are held: %d %s", code, errs)
	}
	must(t, state, "limit", fork, "1GiB")
	<-wrote
	waitFor(t, "the fork to go on", func() bool { return !overlayOf(t, state, fork).Holding })
	if got := ask(t, forkURL, `select count(*)::text from more`); got != "100000" {
		t.Errorf("the fork wrote %s rows", got)
	}
	must(t, state, "close", second, fork)
}

type figures struct {
	OverlayBytes, LimitBytes int64
	Holding                  bool
}

func overlayOf(t *testing.T, state, id string) figures {
	t.Helper()
	api := controlOf(id, filepath.Join(state, "sessions", id, "control.sock"))
	var info struct{ Stats figures }
	if err := api.call(t.Context(), "GET", "", nil, &info); err != nil {
		t.Fatal(err)
	}
	return info.Stats
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// TestForksAreExportedByNBD opens a session with its disk on a TCP port: a fork
// has a port of its own, and other bytes behind it.
func TestForksAreExportedByNBD(t *testing.T) {
	needsPostgres(t, "15")
	nbdinfo, nbdcopy := snapshottest.Tool(t, "nbdinfo"), snapshottest.Tool(t, "nbdcopy")
	state, dir := stateDir(t), t.TempDir()
	r := start(t, state, "open", plainBackup(t), "--runner", "local", "--db", "postgres", "--writable", "--nbd-listen", "127.0.0.1:0")
	ready := r.untilReady()
	parent := ready["id"].(string)
	var e struct {
		ID, Psql string
		NBD      string `json:"nbd_address"`
		Socket   string `json:"nbd_socket"`
	}
	if err := json.Unmarshal([]byte(must(t, state, "--json", "fork", parent, "--writable")), &e); err != nil || e.NBD == "" || e.NBD == ready["nbd_address"] {
		t.Fatalf("the fork's address is %q, its parent's %v, %v", e.NBD, ready["nbd_address"], err)
	}
	run1(t, e.Psql, `create table mine as select generate_series(1, 10000) as n`)
	run1(t, e.Psql, `checkpoint`)
	images := map[string]string{}
	for name, uri := range map[string]string{
		"fork": "nbd://" + e.NBD + "/" + e.ID, "parent": fmt.Sprintf("nbd://%v/%s", ready["nbd_address"], parent), "socket": "nbd+unix:///" + e.ID + "?socket=" + e.Socket,
	} {
		judge(t, nbdinfo, uri)
		images[name] = filepath.Join(dir, name)
		judge(t, nbdcopy, uri, images[name])
	}
	judge(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", images["fork"], images["socket"])
	if exec.Command("qemu-img", "compare", "-f", "raw", "-F", "raw", images["fork"], images["parent"]).Run() == nil {
		t.Error("the fork's disk is its parent's")
	}
	if _, err := exec.Command(nbdinfo, "nbd://"+e.NBD+"/"+parent).Output(); err == nil {
		t.Error("the fork's port exports its parent's disk")
	}
}

// TestForkWithDocker forks a session whose server runs in a container.
func TestForkWithDocker(t *testing.T) {
	needsDocker(t, "17")
	state := stateDir(t)
	r := start(t, state, "open", chain17(t, "fp-full"), "--runner", "docker", "--db", "postgres", "--writable")
	ready := r.untilReady()
	parent, url := ready["id"].(string), ready["psql"].(string)
	run1(t, url, `create table here as select generate_series(1, 1000) as n`)
	fork, forkURL := forkOf(t, state, parent, "--writable")
	run1(t, forkURL, `delete from here where n > 10`)
	if got := ask(t, forkURL, `select count(*)::text from here`) + " " + ask(t, url, `select count(*)::text from here`); got != "10 1000" {
		t.Errorf("the fork and its parent have %s rows", got)
	}
	if n := len(strings.Fields(containers(t))); n != 2 {
		t.Errorf("%d containers run", n)
	}
	must(t, state, "close", parent)
	if got := ask(t, forkURL, `select count(*)::text from acct`); got != "10000" {
		t.Errorf("after its parent was closed the fork has %s rows", got)
	}
	must(t, state, "close", fork)
	r.exit()
	if left := containers(t); left != "" {
		t.Errorf("containers left behind: %s", left)
	}
}
