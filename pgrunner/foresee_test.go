package pgrunner

import (
	"path/filepath"
	"slices"
	"testing"
)

// lacks asks a plan for extensions that every server has, none has, and no
// server may be asked for.
func lacks(t *testing.T, p *Plan, major int) {
	t.Helper()
	missing, known, err := p.LacksExtensions(t.Context(), major, []string{"plpgsql", "timetravel", "../extension/plpgsql"})
	if err != nil || !known || !slices.Equal(missing, []string{"timetravel", "../extension/plpgsql"}) {
		t.Errorf("missing %q, known %v, %v", missing, known, err)
	}
}

func TestForesee_Local(t *testing.T) {
	needsLocal(t, 15)
	c := Config{Major: 15, DockerHost: "unix://" + filepath.Join(tempDir(t), "nobody.sock")}
	p, err := Foresee(t.Context(), c)
	if err != nil || p.Runner != Local {
		t.Fatalf("%+v, %v", p, err)
	}
	lacks(t, p, 15)
	if n, err := p.PageSize(t.Context()); n != 8192 || err != nil {
		t.Errorf("pages of %d bytes, %v", n, err)
	}
}

func TestForesee_Docker(t *testing.T) {
	_, c := needsDocker(t, 17)
	p, err := Foresee(t.Context(), c)
	if err != nil || p.Runner != Docker || p.ImageID == "" {
		t.Fatalf("%+v, %v", p, err)
	}
	lacks(t, p, 17)
	c.Image = "snapview/nowhere:17"
	p, err = Foresee(t.Context(), c)
	if err != nil || p.ImageID != "" {
		t.Fatalf("an image that is not there: %+v, %v", p, err)
	}
	if _, known, err := p.LacksExtensions(t.Context(), 17, []string{"hstore"}); known || err != nil {
		t.Errorf("of an image that is not there it is known: %v", err)
	}
}
