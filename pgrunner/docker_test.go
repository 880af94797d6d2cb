package pgrunner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/testneeds"
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
	c := Config{
		Runner: Docker, Major: major, DockerHost: host, SessionID: "test",
		Image: "snapview/postgres:" + strconv.Itoa(major),
	}
	cl, err := dockerClient(host)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var p *Plan
	if _, err = cl.ImageInspect(t.Context(), c.Image); err == nil {
		t0 := time.Now()
		p, err = Choose(t.Context(), c)
		t.Log("chosen in", time.Since(t0))
	}
	if err != nil {
		testneeds.Missing(t, "an image of PostgreSQL %d in Docker (scripts/dockerd.sh start, export DOCKER_HOST, scripts/pg-image.sh %d): %v", major, major, err)
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

// TestDockerWalls looks at the container as the engine knows it, and tries
// what a client may not.
func TestDockerWalls(t *testing.T) {
	p, chosen := needsDocker(t, 17)
	chosen.CacheDir = filepath.Join(tempDir(t), "cache")
	for range 2 {
		again, err := Choose(t.Context(), chosen)
		if err != nil || *again != *p {
			t.Errorf("chose %+v, %v; before %+v", again, err, p)
		}
	}
	if p.UID == 0 || p.GID == 0 {
		t.Errorf("the image's user is %d:%d", p.UID, p.GID)
	}
	loop, unmount, held := onLoop(t, unpack(t, "pg17/pg17-incr-chain.tar.zst", "fp-full", "fp-full-ts1", p), p)
	s := start(t, p, config(t, loop, 17))
	cl, err := dockerClient(p.Engine)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	i, err := cl.ContainerInspect(t.Context(), s.Container())
	if err != nil {
		t.Fatal(err)
	}
	h := i.HostConfig
	if h.NetworkMode != "none" || !h.ReadonlyRootfs || h.Privileged || len(h.CapAdd) != 0 || len(h.CapDrop) != 1 ||
		h.Memory == 0 || h.PidsLimit == nil || h.ShmSize != 256<<20 || h.RestartPolicy.Name == "always" {
		t.Errorf("%+v", h)
	}
	if i.Config.Labels[labelSession] != "test" {
		t.Errorf("labels %v", i.Config.Labels)
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(s.PID()) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Name:\tpostgres"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	refuse(t, s)
	stopLetsGo(t, s, unmount, held)
	if _, err := cl.ContainerInspect(t.Context(), s.Container()); err == nil {
		t.Error("the container is still there")
	}
}

func TestDockerReclaim(t *testing.T) {
	p, chosen := needsDocker(t, 17)
	loop, unmount, held := onLoop(t, unpack(t, "pg17/pg17-incr-chain.tar.zst", "fp-full", "fp-full-ts1", p), p)
	c := config(t, loop, 17)
	c.DockerHost = chosen.DockerHost
	rs := orphan(t, p, c)
	unmount()
	t.Cleanup(func() { _ = Reclaim(context.Background(), rs) })
	if len(rs) != 1 || rs[0].Kind != "container" || !held() {
		t.Fatalf("recorded %+v, held %v: the container should outlive its maker", rs, held())
	}
	other := rs[0]
	other.Session = "another"
	if err := Reclaim(t.Context(), []Resource{other}); err != nil || !held() {
		t.Errorf("another session's container: %v, held %v", err, held())
	}
	for range 2 {
		if err := Reclaim(t.Context(), rs); err != nil {
			t.Error(err)
		}
	}
	waitFor(t, "letting go of the file system", func() bool { return !held() })
}

func TestDockerFailsWithTheLog(t *testing.T) {
	p, _ := needsDocker(t, 17)
	root := unpack(t, "pg17/pg17-incr-chain.tar.zst", "fp-full", "fp-full-ts1", p)
	segments, _ := filepath.Glob(filepath.Join(root, "data", "pg_wal", "0*"))
	for _, s := range segments {
		if err := os.Remove(s); err != nil {
			t.Fatal(err)
		}
	}
	var name string
	c := config(t, root, 17)
	c.Record = func(r Resource) error { name = r.Container; return nil }
	_, err := Start(t.Context(), p, c)
	var e *StartError
	if !errors.As(err, &e) || e.Advice == "" {
		t.Errorf("%v", err)
	}
	cl, err := dockerClient(p.Engine)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := cl.ContainerInspect(t.Context(), name); err == nil {
		t.Errorf("container %s is left", name)
	}
}

func TestChoose(t *testing.T) {
	needsRoot(t)
	silent := "unix://" + filepath.Join(tempDir(t), "nobody.sock")
	if _, err := Choose(t.Context(), Config{Runner: Docker, Major: 15, DockerHost: silent}); !errors.Is(err, ErrNoRunner) {
		t.Errorf("an engine that is not there: %v", err)
	}
	if _, err := Choose(t.Context(), Config{Runner: Local, Major: 10}); !errors.Is(err, ErrNoRunner) {
		t.Errorf("PostgreSQL 10 on a host without: %v", err)
	}
	if _, err := Choose(t.Context(), Config{Major: 9}); !errors.Is(err, ErrNoRunner) {
		t.Errorf("PostgreSQL 9: %v", err)
	}
	if _, err := Choose(t.Context(), Config{Runner: "podman", Major: 15}); err == nil {
		t.Error("an unknown runner")
	}
	needsLocal(t, 15)
	p, err := Choose(t.Context(), Config{Major: 15, DockerHost: silent})
	if err != nil || p.Runner != Local || !strings.Contains(p.Why, "does not answer") {
		t.Errorf("auto without an engine: %+v, %v", p, err)
	}
}
