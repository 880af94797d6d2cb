// Package webtest gives tests of the web server, and the development server
// of the page, what they need in place of a real session: a PostgreSQL cluster
// of its own with a reader role, a demo database, and a session that lives in
// memory.
//
// The cluster is deliberately weaker than a real session's server: it takes
// writes and has no sandbox, so that a statement that is refused is refused by
// the reader role and by the API alone.
package webtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// The roles of the cluster and their passwords.
const (
	Superuser         = "postgres"
	SuperuserPassword = "owner-of-all"
	Reader            = "snapview_reader"
	ReaderPassword    = "reads-only"
)

// ErrNoPostgreSQL is returned when the host has no PostgreSQL server to run.
var ErrNoPostgreSQL = errors.New("no PostgreSQL server binaries (initdb, postgres) found")

// A Cluster is a running PostgreSQL of its own in a temporary folder, reached
// by a unix socket only.
type Cluster struct {
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
	log  *lockedBuffer
	once sync.Once
}

// BinDir returns the folder of the newest server binaries of the host.
func BinDir() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", ErrNoPostgreSQL
	}
	sort.Slice(found, func(i, j int) bool { return major(found[i]) < major(found[j]) })
	return filepath.Dir(found[len(found)-1]), nil
}

func major(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return n
}

// StartCluster makes a cluster in a new folder, starts it and makes the reader
// role. As root it runs as the user postgres, or nobody when there is none.
func StartCluster(ctx context.Context) (*Cluster, error) {
	bin, err := BinDir()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "snapview-web-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, done: make(chan struct{}), log: &lockedBuffer{}}
	if err := c.start(ctx, bin); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, bin string) error {
	cred, err := c.credential()
	if err != nil {
		return err
	}
	pwfile := filepath.Join(c.dir, "pw")
	if err := os.WriteFile(pwfile, []byte(SuperuserPassword), 0o600); err != nil {
		return err
	}
	if cred != nil {
		for _, p := range []string{c.dir, pwfile} {
			if err := os.Chown(p, int(cred.Uid), int(cred.Gid)); err != nil {
				return err
			}
		}
	}
	data := filepath.Join(c.dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", Superuser,
		"-A", "scram-sha-256", "--pwfile", pwfile, "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions")
	initdb.Dir = c.dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", c.dir, "-h", "",
		"-c", "fsync=off", "-c", "autovacuum=off", "-c", "shared_buffers=64MB", "-c", "max_connections=100",
		"-c", "log_min_messages=warning", "-c", "wal_level=minimal", "-c", "max_wal_senders=0")
	cmd.Dir = c.dir
	cmd.Stdout, cmd.Stderr = c.log, c.log
	// SIGINT is PostgreSQL's fast shutdown: nothing is left running when the
	// test's process dies.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Pdeathsig: syscall.SIGINT}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.cmd = cmd
	go func() {
		_ = cmd.Wait()
		close(c.done)
	}()
	return c.waitReady(ctx)
}

// credential says whom the server runs as: PostgreSQL refuses to be root.
func (c *Cluster) credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("running as root, and there is no user postgres or nobody to run PostgreSQL as")
}

func (c *Cluster) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		err := c.Exec(ctx, "postgres", fmt.Sprintf(
			`create role %s login nosuperuser password '%s' in role pg_read_all_data`, Reader, ReaderPassword))
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("PostgreSQL ended while it started: %s", c.log)
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL did not answer: %w: %s", err, c.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Close stops the server and removes its folder. Calling it again is harmless.
func (c *Cluster) Close() error {
	var err error
	c.once.Do(func() {
		if c.cmd != nil {
			_ = c.cmd.Process.Signal(syscall.SIGINT)
			select {
			case <-c.done:
			case <-time.After(20 * time.Second):
				_ = c.cmd.Process.Signal(syscall.SIGQUIT)
				<-c.done
			}
		}
		err = os.RemoveAll(c.dir)
	})
	return err
}

// Log returns what the server wrote so far.
func (c *Cluster) Log() string { return c.log.String() }

// SocketDir returns the folder of the server's socket.
func (c *Cluster) SocketDir() string { return c.dir }

// DSN returns the connection string of the reader for a database.
func (c *Cluster) DSN(database string) string {
	return c.dsn(Reader, ReaderPassword, database)
}

// SuperDSN returns the connection string of the superuser.
func (c *Cluster) SuperDSN(database string) string {
	return c.dsn(Superuser, SuperuserPassword, database)
}

func (c *Cluster) dsn(role, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password), Path: "/" + database,
		RawQuery: url.Values{"host": {c.dir}, "sslmode": {"disable"}}.Encode(),
	}
	return u.String()
}

// Exec runs statements as the superuser, one string each, outside of any
// transaction.
func (c *Cluster) Exec(ctx context.Context, database string, statements ...string) error {
	conn, err := pgx.Connect(ctx, c.SuperDSN(database))
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("%s: %w", strings.SplitN(strings.TrimSpace(s), "\n", 2)[0], err)
		}
	}
	return nil
}

// QueryText runs a statement as the superuser and returns the text of its
// first row's first column.
func (c *Cluster) QueryText(ctx context.Context, database, sql string) (string, error) {
	conn, err := pgx.Connect(ctx, c.SuperDSN(database))
	if err != nil {
		return "", err
	}
	defer conn.Close(context.Background())
	var s *string
	if err := conn.QueryRow(ctx, "select ("+sql+")::text").Scan(&s); err != nil {
		return "", err
	}
	if s == nil {
		return "", nil
	}
	return *s, nil
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
