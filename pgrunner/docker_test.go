package pgrunner

import (
	"context"
	"os"
	"testing"
	"time"
)

// needsDocker returns a plan for a container of a major version. The image is
// not pulled by tests.
func needsDocker(t testing.TB, major int) (*Plan, Config) {
	t.Helper()
	needsRoot(t)
	host := os.Getenv("SNAPVIEW_DOCKER_HOST")
	if host == "" {
		host = os.Getenv("DOCKER_HOST")
	}
	if host == "" {
		needs(t, "a Docker engine with PostgreSQL %d: scripts/dockerd.sh start, scripts/pg-image.sh %d, DOCKER_HOST", major, major)
	}
	c := Config{Runner: Docker, Major: major, DockerHost: host, SessionID: "test"}
	p, err := Choose(t.Context(), c)
	if err != nil {
		needs(t, "an image of PostgreSQL %d at %s (scripts/pg-image.sh %d): %v", major, host, major, err)
	}
	return p, c
}

func TestDockerPlainBackup(t *testing.T) {
	p, _ := needsDocker(t, 17)
	root := unpack(t, "pg17/pg17-incr-chain.tar.zst", "fp-full", "fp-full-ts1", p)
	c := config(t, root, 17)
	var recorded []Resource
	c.Record = func(r Resource) error { recorded = append(recorded, r); return nil }
	t0 := time.Now()
	s := start(t, p, c)
	t.Log("started in", time.Since(t0))
	conn := connect(t, s.DSN("postgres"))
	// The fixtures' README: full | 10000 | 10000000 | 1500 | 2000 | full.
	got := value(t, conn, `select concat_ws('|', (select count(*) from acct), (select sum(balance) from acct), (select count(*) from tst))`)
	if want := "10000|10000000|2000"; got != want {
		t.Errorf("state %s, want %s", got, want)
	}
	if len(recorded) != 1 || recorded[0].Container != s.Container() {
		t.Errorf("recorded %v, container %s", recorded, s.Container())
	}
	t.Log(s.Changes(), s.Warnings(), s.Version())
	t0 = time.Now()
	if err := s.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Log("stopped in", time.Since(t0))
	<-s.Done()
	if err := s.Err(); err != nil {
		t.Error("an asked-for end is no error:", err)
	}
}
