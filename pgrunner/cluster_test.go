package pgrunner

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/testneeds"
)

// A source is a running cluster that backups are made of: the stranger's.
type source struct {
	t      testing.TB
	bin    string
	dir    string
	cred   *syscall.Credential
	dsn    func(database string) string
	user   string
	closed bool
}

// newSource makes and starts a cluster with the host's user postgres.
func newSource(t testing.TB, p *Plan, conf string, initdb ...string) *source {
	t.Helper()
	u, err := user.Lookup("postgres")
	if err != nil {
		testneeds.Missing(t, "a user postgres, as the packages make it: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	s := &source{
		t: t, bin: p.BinDir, dir: tempDir(t), user: "boss",
		cred: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
	}
	if err := os.Chown(s.dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	s.dsn = func(db string) string {
		return fmt.Sprintf("postgres://%s@/%s?host=%s&port=5433", s.user, db, s.dir)
	}
	s.run("initdb", append([]string{"-D", "d", "-U", s.user, "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8"}, initdb...)...)
	write(t, filepath.Join(s.dir, "d", "postgresql.conf"),
		"listen_addresses = ''\nport = 5433\nunix_socket_directories = '"+s.dir+"'\nfsync = off\n"+conf)
	s.run("pg_ctl", "-D", "d", "-w", "-t", "60", "-l", "log", "start")
	t.Cleanup(func() { s.stop("immediate") })
	return s
}

func (s *source) run(name string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "PGUSER=" + s.user, "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	// A file, not a pipe: the server that pg_ctl leaves behind would hold it.
	out, err := os.CreateTemp("", "")
	if err != nil {
		s.t.Fatal(err)
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, text)
	}
}

func (s *source) stop(mode string) {
	if !s.closed {
		s.closed = true
		s.run("pg_ctl", "-D", "d", "-w", "-m", mode, "stop")
	}
}

// exec runs statements, each by itself, in one connection.
func (s *source) exec(database string, statements ...string) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.dsn(database))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(s.t.Context())
	for _, sql := range statements {
		if _, err := conn.Exec(s.t.Context(), sql); err != nil {
			s.t.Fatalf("%s: %v", sql, err)
		}
	}
}

// backup returns a Root with a base backup.
func (s *source) backup(p *Plan) string {
	s.t.Helper()
	root := filepath.Join(tempDir(s.t), "root")
	mkdir(s.t, root)
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Chown(root, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
		s.t.Fatal(err)
	}
	s.run("pg_basebackup", "-h", s.dir, "-p", "5433", "-D", filepath.Join(root, "data"), "-X", "stream", "-c", "fast", "--no-sync", "--no-manifest")
	own(s.t, root, p)
	return root
}

// copyOf returns a Root with a copy of the data directory as it lies there.
func (s *source) copyOf(p *Plan) string {
	s.t.Helper()
	root := filepath.Join(tempDir(s.t), "root")
	mkdir(s.t, root)
	run(s.t, "cp", "-a", filepath.Join(s.dir, "d"), filepath.Join(root, "data"))
	own(s.t, root, p)
	return root
}
