package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// forkOf makes a fork and returns what the command tells about it.
func forkOf(t *testing.T, state string, args ...string) (id, url string) {
	t.Helper()
	var e struct{ ID, Psql string }
	out := must(t, state, append([]string{"--json", "fork"}, args...)...)
	if err := json.Unmarshal([]byte(out), &e); err != nil || e.ID == "" || e.Psql == "" {
		t.Fatalf("fork %v: %v in %s", args, err, out)
	}
	return e.ID, e.Psql
}

func TestForksGoTheirOwnWay(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "open", plainBackup(t), "--runner", "local", "--db", "postgres", "--writable")
	ready := r.untilReady()
	parent, url := ready["id"].(string), ready["psql"].(string)
	run1(t, url, `create table seen as select generate_series(1, 50000) as n`)
	early := strings.TrimSpace(must(t, state, "checkpoint", "--name", "early"))
	run1(t, url, `insert into seen values (0)`)

	a, urlA := forkOf(t, state, parent, "--writable", "--name", "a")
	b, urlB := forkOf(t, state, parent, "--checkpoint", early)
	run1(t, url, `insert into seen values (-1)`)
	run1(t, urlA, `delete from seen where n > 10`)
	for _, c := range []struct{ url, who, want string }{
		{url, "the parent", "50002"}, {urlA, "the fork of now", "11"}, {urlB, "the fork of early", "50000"},
	} {
		if got := ask(t, c.url, `select count(*)::text from seen`); got != c.want {
			t.Errorf("%s has %s rows, want %s", c.who, got, c.want)
		}
	}
	if got := ask(t, urlB, `select pg_is_in_recovery()::text`); got != "true" {
		t.Error("the fork is no standby although it was not asked to be writable")
	}
	list := must(t, state, "sessions")
	if strings.Count(list, "fork of "+parent) != 2 || !strings.Contains(list, ": a") {
		t.Errorf("sessions lists\n%s", list)
	}

	// What a fork has written itself is little; its disk has what it shares too.
	whole, own := growthOf(t, state, b), growthOf(t, state, b, "--since", early)
	if own.TotalBytes == 0 || own.TotalBytes >= whole.TotalBytes {
		t.Errorf("the fork has %d bytes since its checkpoint, %d in all", own.TotalBytes, whole.TotalBytes)
	}
	var top int64
	for _, l := range layersOf(t, state, b) {
		if l.Session == b {
			top = l.OverlayBytes
		}
	}
	if diff := top - own.TotalBytes; diff < -256<<10 || diff > 256<<10 {
		t.Errorf("growth says %d bytes since the checkpoint, du of the fork's layer %d", own.TotalBytes, top)
	}
	if _, errs, code := snapview(t, state, "layers", "discard", parent, early, "--branch"); code == exitOK || !strings.Contains(errs, "in use") {
		t.Errorf("discarding what forks need: %d %s", code, errs)
	}
	if _, errs, code := snapview(t, state, "fork", parent, "--checkpoint", "01ARZ3NDEKTSV4RRFFQ69G5FAV"); code == exitOK || !strings.Contains(errs, "no such layer") {
		t.Errorf("a fork of nothing: %d %s", code, errs)
	}

	// A fork may close before its parent, and after it. Its named checkpoints
	// stay until somebody discards them; its own layer goes.
	left := strings.TrimSpace(must(t, state, "checkpoint", a, "--name", "left"))
	must(t, state, "checkpoint", a, "--name", "above")
	must(t, state, "close", a)
	var names []string
	for _, l := range layersOf(t, state, parent) {
		if l.Name != "" {
			names = append(names, l.Name)
		}
		if !l.Sealed && l.Session == "" {
			t.Errorf("the layer of a closed fork is still there: %+v", l)
		}
	}
	if got := strings.Join(names, " "); got != "early left above" {
		t.Errorf("after a fork was closed there are the checkpoints %s", got)
	}
	if _, errs, code := snapview(t, state, "layers", "discard", parent, left); code == exitOK || !strings.Contains(errs, "other layers lie over it") {
		t.Errorf("discarding a layer with others over it: %d %s", code, errs)
	}
	must(t, state, "layers", "discard", parent, left, "--branch")
	if n := len(layersOf(t, state, parent)); n > 4 {
		t.Errorf("%d layers are left", n)
	}
	if got := ask(t, url, `select count(*)::text from seen`); got != "50002" {
		t.Errorf("after a fork was closed the parent has %s rows", got)
	}
	must(t, state, "close", parent)
	if got := ask(t, urlB, `select count(*)::text from seen`); got != "50000" {
		t.Errorf("after its parent was closed the fork has %s rows", got)
	}
	// What it shares with a parent that is gone can be built upon.
	c, urlC := forkOf(t, state, b, "--checkpoint", "base")
	if got := ask(t, urlC, `select count(*)::text from ev`); got != "100" {
		t.Errorf("the fork of the backup has %s rows", got)
	}
	must(t, state, "close", b, c)
	if code := r.exit(); code != exitOK {
		t.Errorf("after the last was closed the exit code is %d\n%s", code, r.stderr.String())
	}
	if still := leftBehind(t, state); still != "" {
		t.Errorf("left behind: %s", still)
	}
}

func TestForkOfAReadOnlySessionAndItsLimit(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "open", plainBackup(t), "--runner", "local", "--db", "postgres", "--max-overlay", "64MiB")
	url := r.untilReady()["psql"].(string)
	before := ask(t, url, `select string_agg(x::text, ',') from (`+stateQuery+`) x`)
	id, fork := forkOf(t, state, "--writable")
	if got := ask(t, fork, `select string_agg(x::text, ',') from (`+stateQuery+`) x`); got != before {
		t.Errorf("the fork answers %s, its parent %s", got, before)
	}
	run1(t, fork, `create table mine as select 1 as one`)
	var info struct {
		Stats struct{ LimitBytes, OverlayBytes int64 }
		State string
	}
	api := controlOf(id, filepath.Join(state, "sessions", id, "control.sock"))
	if err := api.call(t.Context(), "GET", "", nil, &info); err != nil || info.Stats.LimitBytes != 64<<20 {
		t.Errorf("the fork's limit: %+v, %v", info, err)
	}
	r.signal(os.Interrupt)
	if code := r.exit(); code != exitInterrupted {
		t.Errorf("exit code %d\n%s", code, r.stderr.String())
	}
	if left := leftBehind(t, state); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestKilledForksAreCleanedUpByGC(t *testing.T) {
	needsPostgres(t, "15")
	for _, parentFirst := range []bool{false, true} {
		state := stateDir(t)
		r := start(t, state, "open", plainBackup(t), "--runner", "local")
		parent := r.untilReady()["id"].(string)
		forkOf(t, state)
		if parentFirst {
			must(t, state, "close", parent)
		}
		r.kill()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline) && leftBehind(t, state) != ""; {
			must(t, state, "gc")
		}
		r.exit()
		if left := leftBehind(t, state); left != "" {
			t.Errorf("gc left: %s", left)
		}
	}
}
