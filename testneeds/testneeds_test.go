package testneeds

import (
	"fmt"
	"path/filepath"
	"testing"
)

// A recorder is a test that remembers how it ended, and goes on.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Skipf(f string, a ...any)  { r.said += "skipped: " + fmt.Sprintf(f, a...) }
func (r *recorder) Fatalf(f string, a ...any) { r.said += "failed: " + fmt.Sprintf(f, a...) + "; " }

func TestNeeds(t *testing.T) {
	for setting, want := range map[string]string{
		"": "skipped: NEEDS: 100% luck", "1": "failed: NEEDS: 100% luck; skipped: NEEDS: 100% luck", // a real Fatalf does not return
	} {
		t.Setenv("SNAPVIEW_NO_SKIP", setting)
		r := &recorder{}
		Need(r, true, "nothing")
		Need(r, false, "100% luck")
		if r.said != want {
			t.Errorf("SNAPVIEW_NO_SKIP=%q: %q, want %q", setting, r.said, want)
		}
	}
	t.Setenv("PATH", "/nowhere")
	r := &recorder{}
	if Tool(r, "no-such-program"); r.said == "" {
		t.Error("a program that there is not is there")
	}
	if path := Tool(t, "losetup"); !filepath.IsAbs(path) {
		t.Errorf("losetup is at %q", path)
	}
}
