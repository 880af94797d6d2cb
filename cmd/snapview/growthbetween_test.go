package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/snapview/snapview/web"
)

// relations says how many bytes growth gives to each relation, by its name.
func relations(g web.Growth) map[string]int64 {
	m := map[string]int64{}
	for _, r := range g.Relations {
		m[r.Name] += r.Bytes
	}
	return m
}

// unnamed counts the relations that go by a number.
func unnamed(g web.Growth) (n int) {
	for _, r := range g.Relations {
		if strings.HasPrefix(r.Name, "relfilenode ") {
			n++
		}
	}
	return n
}

// stepsOf asks for growth over time.
func stepsOf(t *testing.T, state string, args ...string) (steps []web.GrowthStep) {
	t.Helper()
	for line := range strings.Lines(must(t, state, append([]string{"--json", "growth", "--over-time"}, args...)...)) {
		var s web.GrowthStep
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		steps = append(steps, s)
	}
	return steps
}

// addUp checks that every byte of a report is told once.
func addUp(t *testing.T, what string, g web.Growth) {
	t.Helper()
	var causes, files int64
	for _, c := range g.Causes {
		causes += c.Bytes
	}
	for _, f := range g.Files {
		files += f.Bytes
	}
	if causes != g.TotalBytes || files+g.MetadataBytes+g.FreeBytes != g.TotalBytes {
		t.Errorf("%s: total %d, causes %d, files %d + metadata %d + freed %d", what, g.TotalBytes, causes, files, g.MetadataBytes, g.FreeBytes)
	}
}

func TestGrowthBetweenCheckpointsIsExact(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "open", plainBackup(t), "--runner", "local", "--db", "postgres", "--writable")
	ready := r.untilReady()
	id, url := ready["id"].(string), ready["psql"].(string)
	seal := func(session, name string) string {
		t.Helper()
		return strings.TrimSpace(must(t, state, "checkpoint", session, "--name", name))
	}
	fillTable := func(url, name string, rows int) {
		t.Helper()
		run1(t, url, fmt.Sprintf(`create table %s as select g, repeat('x', 200) as t from generate_series(1, %d) g`, name, rows))
		run1(t, url, fmt.Sprintf(`create index %s_g on %s (g)`, name, name))
		run1(t, url, `checkpoint`)
	}
	fillTable(url, "first", 20000)
	one := seal(id, "one")
	fillTable(url, "second", 10000)
	two := seal(id, "two")
	run1(t, url, `drop table first`)
	run1(t, url, `checkpoint`)
	three := seal(id, "three")

	// Each layer alone is what du counts for it, to the block.
	layers := layersOf(t, state, id)
	for i, l := range layers[:3] {
		since := "base"
		if i > 0 {
			since = layers[i-1].ID
		}
		g := growthOf(t, state, id, "--since", since, "--until", l.ID)
		addUp(t, l.Name, g)
		// A sparse file has a few blocks for its own extents.
		if diff := l.OverlayBytes - g.TotalBytes; diff < 0 || diff > 64<<10 {
			t.Errorf("%s: growth says %d bytes, du %d", l.Name, g.TotalBytes, l.OverlayBytes)
		}
	}
	// What belongs to whom is as of then: second was made after one, and first
	// was there until three, though the catalogue of now has forgotten its name.
	g1 := growthOf(t, state, id, "--until", one)
	g2 := growthOf(t, state, id, "--since", one, "--until", two)
	g3 := growthOf(t, state, id, "--since", two, "--until", three)
	switch {
	case relations(g1)["second"] != 0 || unnamed(g1) < 2 || len(g1.Notes) != 1:
		t.Errorf("until one: %+v, notes %q", relations(g1), g1.Notes)
	case relations(g2)["second"] < 2<<20 || relations(g2)["second_g"] == 0 || unnamed(g2) > 0:
		t.Errorf("from one to two: %+v", relations(g2))
	case relations(g3)["second"] > 64<<10 || unnamed(g3) > 0:
		t.Errorf("from two to three: %+v", relations(g3))
	}
	var big int64
	for _, rel := range g1.Relations {
		big = max(big, rel.Bytes)
	}
	if big < 4<<20 {
		t.Errorf("the table that was dropped later has %d bytes in %+v", big, relations(g1))
	}
	if g := growthOf(t, state, id, "--until", three); unnamed(g) > 0 {
		t.Errorf("until three, after it was dropped: %+v", relations(g))
	}

	// Over time.
	steps := stepsOf(t, state, id, "--since", one)
	if len(steps) != 3 || steps[0].Name != "two" || steps[0].Since != one || steps[0].Bytes != g2.TotalBytes || steps[2].Until != "" {
		t.Errorf("steps %+v", steps)
	}
	whole := growthOf(t, state, id, "--since", one, "--until", three)
	if got := stepsOf(t, state, id, "--since", one, "--until", three); len(got) != 2 || got[1].TotalBytes != whole.TotalBytes {
		t.Errorf("the steps end at %+v, growth says %d", got, whole.TotalBytes)
	}
	if out := must(t, state, "growth", id, "--over-time"); strings.Count(out, "\n") != 5 || !strings.Contains(out, "(now)") || !strings.Contains(out, "tables ") {
		t.Errorf("over time:\n%s", out)
	}
	if out := must(t, state, "growth", id, "--since", one, "--until", two, "--by", "cause"); !strings.Contains(out, "indexes") || !strings.Contains(out, two+" since "+one) {
		t.Errorf("by cause:\n%s", out)
	}

	// The same numbers of files mean others in another branch.
	fork, forkURL := forkOf(t, state, id, "--checkpoint", two, "--writable")
	fillTable(forkURL, "elsewhere", 15000)
	aside := seal(fork, "aside")
	fillTable(url, "here", 100)
	seal(id, "four")
	for _, asked := range []string{fork, id} {
		g := growthOf(t, state, asked, "--since", two, "--until", aside)
		if relations(g)["elsewhere"] < 3<<20 || relations(g)["here"] != 0 || (len(g.Notes) == 1) != (asked == id) {
			t.Errorf("asked of %s, the fork's checkpoint has %+v, notes %q", asked, relations(g), g.Notes)
		}
	}
	must(t, state, "close", fork)
	if g := growthOf(t, state, id, "--since", two, "--until", aside); relations(g)["elsewhere"] != 0 || relations(g)["here"] != 0 || len(g.Notes) != 1 || unnamed(g) == 0 {
		t.Errorf("with nobody to name it the fork's checkpoint has %+v, notes %q", relations(g), g.Notes)
	}
	for _, c := range []struct{ since, until, why string }{
		{two, one, "does not lie below"}, {aside, three, "does not lie below"}, {one, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "no such layer"},
	} {
		if _, errs, code := snapview(t, state, "growth", id, "--since", c.since, "--until", c.until); code == exitOK || !strings.Contains(errs, c.why) {
			t.Errorf("from %s to %s: %d %s", c.since, c.until, code, errs)
		}
	}
}
