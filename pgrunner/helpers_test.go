package pgrunner

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/testneeds"
)

func needsRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		testneeds.Missing(t, "root")
	}
}

// needsLocal returns a plan for the local binaries of a major version.
func needsLocal(t testing.TB, major int) *Plan {
	t.Helper()
	needsRoot(t)
	p, err := Choose(t.Context(), Config{Runner: Local, Major: major})
	if err != nil {
		testneeds.Missing(t, "PostgreSQL %d: %v", major, err)
	}
	return p
}

// fixtures returns the folder of the shared fixtures.
func fixtures(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("SNAPVIEW_FIXTURES")
	if dir == "" {
		d, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for ; d != "/"; d = filepath.Dir(d) {
			if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
				dir = filepath.Join(d, "..", "shared", "fixtures")
				break
			}
		}
	}
	if _, err := os.Stat(dir); err != nil {
		testneeds.Missing(t, "the fixtures, at SNAPVIEW_FIXTURES: %v", err)
	}
	return dir
}

// tempDir is t.TempDir with a path short enough for a socket.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// unpack returns a Root with what the virtual file system would show of a
// fixture: data/ and tablespaces/OID/, owned by the plan's user.
func unpack(t testing.TB, archive, data, tablespace string, p *Plan) string {
	t.Helper()
	if _, err := exec.LookPath("zstd"); err != nil {
		testneeds.Missing(t, "zstd")
	}
	dir := tempDir(t)
	run(t, "tar", "--zstd", "-xf", filepath.Join(fixtures(t), archive), "-C", dir)
	root := filepath.Join(dir, "root")
	mkdir(t, filepath.Join(root, "tablespaces"))
	rename(t, filepath.Join(dir, data), filepath.Join(root, "data"))
	rename(t, filepath.Join(dir, tablespace), filepath.Join(root, "tablespaces", "16384"))
	own(t, root, p)
	return root
}

func plain15(t testing.TB, p *Plan) string {
	return unpack(t, "pg15/pg15-plain.tar.zst", "fp", "fp_ts1", p)
}

func mkdir(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func rename(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// own gives a tree to the server's user, as the base's lay-out does.
func own(t testing.TB, root string, p *Plan) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, p.UID, p.GID)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func config(t testing.TB, root string, major int) Config {
	t.Helper()
	return Config{
		Major: major, Root: root, RunDir: filepath.Join(tempDir(t), "run"), SessionID: "test",
		StartTimeout: 2 * time.Minute,
	}
}

// start starts a server that ends with the test.
func start(t testing.TB, p *Plan, c Config) *Server {
	t.Helper()
	s, err := Start(t.Context(), p, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log("log:\n" + strings.Join(s.LogTail(60), "\n"))
		}
	})
	return s
}

func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// value returns the one value of a query as text.
func value(t testing.TB, conn *pgx.Conn, sql string) string {
	t.Helper()
	var v any
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return fmt.Sprint(v)
}

// stateQuery is the fixtures' own.
const stateQuery = `select concat_ws('|', (select count(*) from ev), (select count(*) from acct), ` +
	`(select sum(balance) from acct), (select count(*) from tst), (select max(phase) from ev))`

// stateA is its answer for the backups taken at A, by the fixtures' README.
const stateA = "100|10000|10000000|2000|A"
