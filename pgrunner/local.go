package pgrunner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/snapview/snapview/pgrunner/internal/sandbox"
)

// firstUID is where the search for a user of the server's own begins,
// downwards: a number that nobody has, so that the server shares nothing with
// a user of the host, least of all its PostgreSQL's. useradd gives numbers
// from the other end of this range.
const firstUID = 59915

// binDirs returns where the binaries of a major version may lie, by habit of
// Debian and Ubuntu, the PGDG packages for RHEL and others, Alpine and FreeBSD's
// ports; then what PATH has.
func binDirs(major int) []string {
	n := strconv.Itoa(major)
	dirs := []string{
		"/usr/lib/postgresql/" + n + "/bin",
		"/usr/pgsql-" + n + "/bin",
		"/usr/lib/postgresql" + n + "/bin",
		"/usr/libexec/postgresql" + n,
		"/opt/postgresql/" + n + "/bin",
		"/usr/local/pgsql-" + n + "/bin",
		"/usr/local/pgsql/bin",
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(p))
	}
	return dirs
}

// pgConfigDir asks pg_config for the directory of its binaries; "" if there is
// none. On Debian it is a script that takes its time, so it is asked last.
func pgConfigDir(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

var versionLine = regexp.MustCompile(`^postgres \(PostgreSQL\) ((\d+)\S*)`)

// findLocal returns the plan of a local server of that major version.
func findLocal(ctx context.Context, major int) (*Plan, error) {
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: run snapview with sudo, or use Docker", ErrNeedsRoot)
	}
	p, others, err := findIn(ctx, major, binDirs(major))
	if p == nil && err == nil {
		if dir := pgConfigDir(ctx); dir != "" {
			p, _, err = findIn(ctx, major, []string{dir})
		}
	}
	if p != nil || err != nil {
		return p, err
	}
	have := ""
	if len(others) > 0 {
		have = ", only " + strings.Join(others, ", ")
	}
	return nil, fmt.Errorf("%w: PostgreSQL %d is not installed here%s; install it (on Debian and Ubuntu: "+
		"apt install postgresql-%d, with https://apt.postgresql.org for other majors than the release's)",
		ErrNoRunner, major, have, major)
}

// findIn looks for binaries of that major version in directories, and lists
// the other versions it met.
func findIn(ctx context.Context, major int, dirs []string) (p *Plan, others []string, err error) {
	seen := map[string]bool{}
	for _, dir := range dirs {
		// A link such as /usr/local/bin/postgres leads to its siblings.
		bin, err := filepath.EvalSymlinks(filepath.Join(dir, "postgres"))
		if err != nil || seen[bin] {
			continue
		}
		seen[bin] = true
		out, err := exec.CommandContext(ctx, bin, "-V").Output()
		if err != nil {
			continue
		}
		m := versionLine.FindStringSubmatch(string(out))
		if m == nil {
			continue
		}
		if m[2] != strconv.Itoa(major) {
			others = append(others, m[1])
			continue
		}
		id, err := freeID()
		if err != nil {
			return nil, nil, err
		}
		return &Plan{Runner: Local, BinDir: filepath.Dir(bin), Version: m[1], UID: id, GID: id}, nil, nil
	}
	return nil, others, nil
}

// freeID returns a number that is neither a user nor a group of the host.
func freeID() (int, error) {
	for id := firstUID; id > firstUID-1000; id-- {
		_, uerr := user.LookupId(strconv.Itoa(id))
		_, gerr := user.LookupGroupId(strconv.Itoa(id))
		if uerr != nil && gerr != nil {
			return id, nil
		}
	}
	return 0, fmt.Errorf("no free user id between %d and %d", firstUID-999, firstUID)
}

// localBox is a box of namespaces.
type localBox struct {
	plan   *Plan
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr safeBuffer
	ended  chan struct{}
	how    string // once ended is closed
}

// startLocal starts a box; record is told before it does anything.
func startLocal(c Config, p *Plan, record func(Resource) error) (_ box, err error) {
	scratch := filepath.Join(c.RunDir, "rootfs")
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, err
	}
	binds := []sandbox.Bind{
		{Source: c.Root, Target: insideRoot, Writable: true},
		{Source: c.runPath(""), Target: insideRun, Writable: true},
	}
	if !strings.HasPrefix(p.BinDir, "/usr/") {
		// A build of one's own, such as /opt/pg17/bin with its ../lib and
		// ../share, at the same path since it knows it.
		prefix := filepath.Dir(p.BinDir)
		if strings.HasPrefix(prefix, "/nix/store/") {
			prefix = "/nix/store" // where its libraries lie as well
		}
		if prefix == "/" {
			return nil, fmt.Errorf("the binaries' directory %s cannot be shown to the sandbox", p.BinDir)
		}
		binds = append(binds, sandbox.Bind{Source: prefix, Target: prefix, Program: true})
	}
	cmd, err := sandbox.Command(sandbox.Config{
		Scratch: scratch, Binds: binds,
		UID: p.UID, GID: p.GID, User: userName,
		Script: initScript, Env: append(environment(c, p.BinDir), "PATH=/usr/bin:/bin"),
		ShmBytes: c.ShmBytes, TmpBytes: 64 << 20,
		// The kernel counts the processes of the user, in all sessions.
		DataBytes: c.MemoryBytes, Procs: 16 * c.PIDs,
	})
	if err != nil {
		return nil, err
	}
	b := &localBox{plan: p, cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr = &b.stderr
	cmd.Stdout = &b.stderr
	if b.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	wait, err := sandbox.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("start the sandbox (it needs root and namespaces): %w", err)
	}
	go func() {
		if err := <-wait; err != nil {
			b.how = err.Error()
		} else {
			b.how = "exit status 0"
		}
		close(b.ended)
	}()
	r, err := processResource(cmd.Process.Pid)
	if err == nil {
		err = record(r)
	}
	if err != nil {
		return nil, errors.Join(err, b.release(context.Background()))
	}
	return b, nil
}

func (b *localBox) order(line string) error {
	_, err := io.WriteString(b.stdin, line+"\n")
	return err
}

func (b *localBox) done() <-chan struct{} { return b.ended }
func (b *localBox) exit() string          { <-b.ended; return b.how }
func (b *localBox) complaints() string    { return b.stderr.String() }
func (b *localBox) pid() int              { return b.cmd.Process.Pid }
func (b *localBox) container() string     { return "" }

func (b *localBox) signal(_ context.Context, sig syscall.Signal) error {
	return b.cmd.Process.Signal(sig)
}

func (b *localBox) release(ctx context.Context) error {
	select {
	case <-b.ended:
		return nil
	default:
	}
	if err := b.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the sandbox: %w", err)
	}
	select {
	case <-b.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("process %d does not end, is its storage stuck? %w", b.pid(), ctx.Err())
	}
}

// safeBuffer keeps the first 64 KiB written to it.
type safeBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b = append(s.b, p[:min(len(p), max(0, 64<<10-len(s.b)))]...)
	return len(p), nil
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.TrimSpace(string(s.b))
}
