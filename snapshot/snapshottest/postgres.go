package snapshottest

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A Server is a real PostgreSQL, for making real backups. It listens on a
// socket in its own folder only and is stopped at the end of the test.
type Server struct {
	Dir string // a folder that the server's user may write
	bin string
	t   testing.TB
}

// StartServer makes a cluster with the newest PostgreSQL installed, as user
// postgres if the test runs as root (PostgreSQL refuses root), and starts it.
func StartServer(t testing.TB) *Server {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.Sort(bins)
	Need(t, len(bins) > 0, "PostgreSQL (package postgresql)")
	dir, err := os.MkdirTemp("", "snapview-pg-") // short: a socket's path is limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{Dir: dir, bin: bins[len(bins)-1], t: t}
	if os.Getuid() == 0 {
		_, err := user.Lookup("postgres")
		Need(t, err == nil, "a user postgres")
		Run(t, "/", "chown", "postgres:", dir)
	}
	s.Run("initdb", "-D", "data", "-A", "trust", "-U", "postgres", "--no-locale", "-E", "UTF8", "-N", "--wal-segsize=1", "-k")
	s.Run("pg_ctl", "-D", "data", "-w", "-t", "60", "-l", "log", "-o",
		fmt.Sprintf("-c listen_addresses= -c unix_socket_directories=%s -c fsync=off -c shared_buffers=16MB", dir), "start")
	t.Cleanup(func() { s.Run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop") })
	return s
}

// Run runs one of PostgreSQL's programs in the server's folder as its user.
func (s *Server) Run(program string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	if os.Getuid() == 0 {
		cmd = exec.Command("runuser", append([]string{"-u", "postgres", "--", filepath.Join(s.bin, program)}, args...)...)
	}
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), "PGHOST="+s.Dir, "PGUSER=postgres", "PGDATABASE=postgres", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Shell runs a command line in the server's folder as its user, with
// PostgreSQL's programs in the PATH.
func (s *Server) Shell(line string) {
	s.t.Helper()
	args := []string{"env", "PATH=" + s.bin + ":" + os.Getenv("PATH"), "PGHOST=" + s.Dir, "PGUSER=postgres", "sh", "-ec", line}
	if os.Getuid() == 0 {
		args = append([]string{"runuser", "-u", "postgres", "--"}, args...)
	}
	Run(s.t, s.Dir, args[0], args[1:]...)
}
