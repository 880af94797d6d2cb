package pgrunner

import (
	"context"
	_ "embed"
	"io"
	"path/filepath"
	"strconv"
	"syscall"
)

//go:embed init.sh
var initScript string

// userName is the server's user inside local sandboxes.
const userName = "postgres"

// A box is a running sandbox: init.sh, and later the postmaster in its place.
type box interface {
	// order sends a line to init.sh.
	order(line string) error
	// done is closed when the first process, and with it all, has ended;
	// exit then says how, for people.
	done() <-chan struct{}
	exit() string
	// complaints returns what was written to standard error: messages of the
	// sandbox and the shell, for the log has PostgreSQL's.
	complaints() string
	// run runs one of PostgreSQL's client programs on the server, as its
	// user, and waits for it.
	run(ctx context.Context, c Config, p clientProgram, stdout, stderr io.Writer) error
	// signal is sent to the first process.
	signal(ctx context.Context, sig syscall.Signal) error
	// release kills what runs and removes what is left of the box. When it
	// returns nil, nothing of it holds a mount any more. It is safe twice.
	release(ctx context.Context) error

	pid() int
	container() string
}

// environment returns the variables of init.sh.
func environment(c Config, binDir string) []string {
	return []string{
		"SNAPVIEW_DATA=" + c.DataDir,
		"SNAPVIEW_BINDIR=" + binDir,
	}
}

// runPath returns the path of a file in the directory that the sandbox knows
// as /snapview/run.
func (c Config) runPath(name string) string { return filepath.Join(c.RunDir, "pg", name) }

func (c Config) socketPath() string { return c.runPath(".s.PGSQL." + strconv.Itoa(port)) }

func (c Config) dataPath() string { return filepath.Join(c.Root, c.DataDir) }
