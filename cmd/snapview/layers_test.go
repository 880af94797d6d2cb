package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/web"
)

// run1 runs one statement through a session's psql endpoint.
func run1(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// judge runs a tool that must be content.
func judge(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(snapshottest.Tool(t, name), args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
}

// judgeRunning runs e2fsck on an image of a disk in use. A file that was deleted
// while a process had it open is freed by the first run, on a copy; nothing
// else may be wrong.
func judgeRunning(t *testing.T, image string) {
	t.Helper()
	if exec.Command(snapshottest.Tool(t, "e2fsck"), "-fn", image).Run() == nil {
		return
	}
	again := image + ".again"
	judge(t, "cp", "--sparse=always", image, again)
	out, err := exec.Command("e2fsck", "-fp", again).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "zero dtime") && !strings.Contains(line, "bitmap differences") && !strings.Contains(line, "lost+found") && !strings.Contains(line, " files (") {
			t.Errorf("e2fsck -fp: %v\n%s", err, out)
			break
		}
	}
	judge(t, "e2fsck", "-fn", again)
}

func TestExportsAreGoodImages(t *testing.T) {
	needsPostgres(t, "15")
	state, dir := stateDir(t), t.TempDir()
	r := start(t, state, "open", plainBackup(t), "--runner", "local", "--db", "postgres", "--writable")
	url := r.untilReady()["psql"].(string)
	run1(t, url, `create table grown as select g, repeat('x', 200) as t from generate_series(1, 20000) g`)
	run1(t, url, `checkpoint`)
	id := strings.TrimSpace(must(t, state, "checkpoint", "--name", "then"))
	run1(t, url, `create table later as select 1 as one`)

	raw, qcow := filepath.Join(dir, "a.img"), filepath.Join(dir, "a.qcow2")
	must(t, state, "export", "--format", "raw", "--checkpoint", id, "-o", raw)
	must(t, state, "export", "--checkpoint", id, "-o", qcow)
	judgeRunning(t, raw)
	judge(t, "qemu-img", "check", "-f", "qcow2", qcow)
	judge(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, qcow)
	if out, err := exec.Command("du", "-m", raw).Output(); err != nil || len(strings.Fields(string(out))[0]) > 3 {
		t.Errorf("the raw image is not sparse: %s MB, %v", out, err)
	}

	// Of now, which is not what it was then; and of the backup as it came.
	now, base := filepath.Join(dir, "now.img"), filepath.Join(dir, "base.img")
	must(t, state, "export", "--format", "raw", "-o", now)
	must(t, state, "export", "--format", "raw", "--checkpoint", "base", "-o", base)
	judgeRunning(t, now)
	judge(t, "e2fsck", "-fn", base)
	for _, other := range []string{now, base} {
		if err := exec.Command("qemu-img", "compare", "-f", "raw", "-F", "raw", raw, other).Run(); err == nil {
			t.Errorf("%s is the same as that of the checkpoint", other)
		}
	}

	// Refusals leave nothing, and an existing file as it is.
	if _, errs, code := snapview(t, state, "export", "-o", raw); code != exitUsage || !strings.Contains(errs, "exists already") {
		t.Errorf("over a file: %d %s", code, errs)
	}
	judge(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, qcow)
	gone := filepath.Join(dir, "gone.img")
	for _, args := range [][]string{{"--checkpoint", "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, {"--format", "vmdk"}, {"--checkpoint", "x", "--format", "raw"}} {
		if _, _, code := snapview(t, state, append([]string{"export", "-o", gone}, args...)...); code == exitOK {
			t.Errorf("export %v succeeded", args)
		}
		if _, err := os.Stat(gone); !os.IsNotExist(err) {
			t.Errorf("export %v left its file: %v", args, err)
			os.Remove(gone)
		}
	}
}

// layersOf lists a session's layers.
func layersOf(t *testing.T, state string, args ...string) []web.Layer {
	t.Helper()
	var list []web.Layer
	for line := range strings.Lines(must(t, state, append([]string{"--json", "layers"}, args...)...)) {
		var l web.Layer
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		list = append(list, l)
	}
	return list
}

func TestLayersAreListedMergedAndDiscarded(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "open", plainBackup(t), "--runner", "local", "--db", "postgres", "--writable")
	ready := r.untilReady()
	id, url := ready["id"].(string), ready["psql"].(string)
	run1(t, url, `create table a as select generate_series(1, 5000) as n`)
	one := strings.TrimSpace(must(t, state, "checkpoint", "--name", "one"))
	run1(t, url, `create table b as select generate_series(1, 7000) as n`)
	two := strings.TrimSpace(must(t, state, "checkpoint", "--name", "two"))

	list := layersOf(t, state)
	if len(list) != 3 || list[0].ID != one || list[1].ID != two || list[1].Parent != one || list[2].Parent != two || list[2].Session != id || list[2].Sealed {
		t.Errorf("layers %+v", list)
	}
	if out := must(t, state, "layers"); !strings.Contains(out, "written by "+id) || !strings.Contains(out, "two") {
		t.Errorf("layers prints\n%s", out)
	}
	for _, c := range []struct{ what, layer, why string }{
		{"discard", one, "in use"},
		{"discard", list[2].ID, "in use"},
		{"merge", one, "no layer below"},
		{"merge", list[2].ID, "not sealed"},
		{"discard", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "no such layer"},
	} {
		if _, errs, code := snapview(t, state, "layers", c.what, id, c.layer); code == exitOK || !strings.Contains(errs, c.why) {
			t.Errorf("%s %s: %d %s, want %q", c.what, c.layer, code, errs, c.why)
		}
	}
	out := must(t, state, "--json", "layers", "merge", two)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) < 2 || !strings.Contains(lines[0], `"done_bytes":0`) || !strings.Contains(lines[len(lines)-1], `"merged"`) {
		t.Errorf("the merge tells %s", out)
	}
	if list := layersOf(t, state); len(list) != 2 || list[0].ID != two || list[0].Parent != "" {
		t.Errorf("after the merge %+v", list)
	}
	run1(t, url, `checkpoint`)
	if got := ask(t, url, `select (select count(*) from a) || ' ' || (select sum(n) from b)`); got != "5000 24503500" {
		t.Errorf("after the merge the session answers %s", got)
	}
}
