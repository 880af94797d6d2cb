package pgrunner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// A Dump says what pg_dump is to write: SQL, as the role of the server.
type Dump struct {
	Database   string
	Tables     []TableName // none means the whole database
	SchemaOnly bool
	DataOnly   bool
	Inserts    bool // INSERTs with column names in place of COPY
}

// A TableName is a table, view or sequence with its schema.
type TableName struct{ Schema, Name string }

// args are pg_dump's. Names are quoted, so that it does not take them for
// patterns.
func (d Dump) args() []string {
	args := []string{"--no-password", "--no-sync"}
	for flag, set := range map[string]bool{"--schema-only": d.SchemaOnly, "--data-only": d.DataOnly, "--column-inserts": d.Inserts} {
		if set {
			args = append(args, flag)
		}
	}
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	for _, t := range d.Tables {
		args = append(args, "--table="+quote(t.Schema)+"."+quote(t.Name))
	}
	return args
}

// Dump runs the server's own pg_dump and copies what it prints to w. It runs
// where the server does: without rights on this host, in Docker in its
// container. The error has pg_dump's words.
func (s *Server) Dump(ctx context.Context, d Dump, w io.Writer) error {
	var complaints bytes.Buffer
	err := s.box.run(ctx, s.c, clientProgram{
		name: "pg_dump", args: d.args(), database: d.Database, role: s.role, password: s.password, statements: s.statements,
	}, w, &limitedBuffer{&complaints, 64 << 10})
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if said := strings.TrimSpace(complaints.String()); said != "" {
		return fmt.Errorf("pg_dump: %w: %s", err, strings.TrimPrefix(said, "pg_dump: "))
	}
	return fmt.Errorf("pg_dump: %w", err)
}

// Hear has somebody hear of the statements that pg_dump runs where it reaches the
// server by a door that others could take as well, who have the password. It must
// be called before the first Dump.
func (s *Server) Hear(statements Statements) { s.statements = statements }

// A clientProgram is one of PostgreSQL's client programs, run for the server.
type clientProgram struct {
	name     string
	args     []string
	database string
	role     string
	password string

	statements Statements
}

// environment is all that the program gets of it. host is a directory or an
// address.
func (p clientProgram) environment(host, port string) []string {
	return []string{
		"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=/nonexistent", "PGAPPNAME=snapview " + p.name,
		"PGHOST=" + host, "PGPORT=" + port, "PGDATABASE=" + p.database,
		"PGUSER=" + p.role, "PGPASSWORD=" + p.password,
	}
}

// run starts the program as the server's user: the local sandbox has no door for
// a second process, and a client needs none of what it protects. That user
// cannot reach the socket in the session's folder; an endpoint that lives as
// long as the program leads there, and asks for the password as any does.
func (b *localBox) run(ctx context.Context, c Config, p clientProgram, stdout, stderr io.Writer) error {
	endpoint, err := Listen("127.0.0.1:0", c.socketPath(), p.statements)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(endpoint.Addr().String())
	if err != nil {
		return errors.Join(err, endpoint.Close())
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.plan.BinDir, p.name), p.args...)
	cmd.Dir, cmd.Env = "/", p.environment(host, port)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(b.plan.UID), Gid: uint32(b.plan.GID)},
	}
	return errors.Join(cmd.Run(), endpoint.Close())
}

func (b *dockerBox) run(ctx context.Context, c Config, p clientProgram, stdout, stderr io.Writer) (err error) {
	made, err := b.cl.ContainerExecCreate(ctx, b.name, container.ExecOptions{
		Cmd:          append([]string{"/usr/lib/postgresql/" + strconv.Itoa(c.Major) + "/bin/" + p.name}, p.args...),
		Env:          p.environment(insideRun, strconv.Itoa(port)),
		AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return err
	}
	at, err := b.cl.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return err
	}
	// The program ends with the connection that it writes to.
	stop := context.AfterFunc(ctx, func() { at.Close() })
	defer func() {
		if stop() {
			at.Close()
		}
	}()
	if _, err := stdcopy.StdCopy(stdout, stderr, at.Reader); err != nil {
		return err
	}
	state, err := b.cl.ContainerExecInspect(ctx, made.ID)
	if err != nil {
		return err
	}
	if state.Running || state.ExitCode != 0 {
		return fmt.Errorf("exit status %d", state.ExitCode)
	}
	return nil
}

// A limitedBuffer keeps the beginning of what is written to it.
type limitedBuffer struct {
	*bytes.Buffer
	most int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if room := b.most - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(len(p), room)]) //nolint:errcheck // it cannot fail
	}
	return len(p), nil
}
