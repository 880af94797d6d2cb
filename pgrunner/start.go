package pgrunner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// poll is how often the two files are looked at that say how a start goes.
// They are in the page cache; a look takes microseconds.
const poll = time.Millisecond

// A starter is one Start under way.
type starter struct {
	c      Config
	p      Plan
	limits Limits
	prep   *preparer
	box    box
	role   string
	scram  string
	found  found
}

// Start prepares the data directory, recovers it and serves it. When it
// returns an error nothing is left running; the log stays in Config.RunDir.
func Start(ctx context.Context, p *Plan, c Config) (_ *Server, err error) {
	c, err = c.complete()
	if err != nil {
		return nil, err
	}
	if err := refuseUnsafe(c.dataPath(), c); err != nil {
		return nil, err
	}
	st := &starter{c: c, p: *p, role: readerRole, limits: Limits{
		// The others are not needed, see settings, and cost memory.
		MaxPreparedXacts: c.Limits.MaxPreparedXacts, MaxLocksPerXact: c.Limits.MaxLocksPerXact,
	}}
	if c.Writable {
		st.role = writerRole
	}
	password, scram, err := newPassword()
	if err != nil {
		return nil, err
	}
	st.scram = scram
	if err := st.directories(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && st.box != nil {
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			err = errors.Join(err, st.box.release(clean))
		}
	}()
	if err := st.openBoxAndPrepare(ctx); err != nil {
		return nil, err
	}
	c.Events(Event{Phase: "recover", Message: "replaying the WAL of the backup"})
	if err := st.recover(ctx); err != nil {
		return nil, err
	}
	c.Events(Event{Phase: "serve", Message: "starting PostgreSQL " + st.found.version})
	if err := st.serve(ctx); err != nil {
		return nil, err
	}
	return newServer(st, password), nil
}

// directories makes RunDir and what is in it.
func (st *starter) directories() error {
	if err := os.MkdirAll(st.c.RunDir, 0o700); err != nil {
		return err
	}
	for _, d := range []string{"pg", "original"} {
		if err := os.MkdirAll(filepath.Join(st.c.RunDir, d), 0o700); err != nil {
			return err
		}
	}
	// What an earlier try left there is not about this one.
	for _, f := range []string{"setup.rc", "setup.out"} {
		if err := os.Remove(st.c.runPath(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Chown(st.c.runPath(""), st.p.UID, st.p.GID)
}

// openBoxAndPrepare does both at once: a container takes a while to start.
func (st *starter) openBoxAndPrepare(ctx context.Context) error {
	prepared := make(chan error, 1)
	go func() { prepared <- st.prepare() }()
	err := st.openBox(ctx)
	return errors.Join(<-prepared, err)
}

func (st *starter) prepare() error {
	root, err := os.OpenRoot(st.c.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	st.prep = &preparer{c: st.c, uid: st.p.UID, gid: st.p.GID, root: root, data: st.c.DataDir}
	if err := st.prep.run(filepath.Join(st.c.RunDir, "original")); err != nil {
		return fmt.Errorf("prepare the data directory: %w", err)
	}
	return nil
}

func (st *starter) openBox(ctx context.Context) (err error) {
	if st.p.Runner == Docker {
		st.box, err = startDocker(ctx, st.c, &st.p, st.c.Record)
	} else {
		st.box, err = startLocal(st.c, &st.p, st.c.Record)
	}
	return err
}

// write writes a file that the server can read, and nobody else.
func (st *starter) write(name, text string) error {
	path := st.c.runPath(name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Chown(path, st.p.UID, st.p.GID)
}

func (st *starter) writeConf() error {
	text, err := confText(st.c, st.limits)
	if err != nil {
		return err
	}
	return errors.Join(
		st.write("postgresql.conf", text),
		st.write("pg_hba.conf", hbaText(st.role)),
		st.write("pg_ident.conf", "# Written by snapview.\n"),
	)
}

// recover replays the WAL and sets up the role, repeating what is worth it:
// with another database, another name for the role, higher limits.
func (st *starter) recover(ctx context.Context) error {
	base, names := st.role, 1
	databases, guessed := []string{"postgres", "template1"}, false
	for {
		if err := st.writeConf(); err != nil {
			return err
		}
		e, err := st.single(ctx, databases[0], setupSQL(st.c, st.prep.carried, st.role, st.scram))
		if err != nil {
			return err
		}
		if e == nil {
			out, err := os.ReadFile(st.c.runPath("setup.out"))
			if err != nil {
				return err
			}
			st.found = parseSetup(string(out))
			if st.found.roleMade {
				break
			}
			if names++; names > 9 {
				return failure("recover", readLog(st.c.runPath("postgres.log"), 0), "the role "+base+" could not be created")
			}
			st.role = base + "_" + strconv.Itoa(names)
			continue
		}
		if l, ok := raise(st.limits, e); ok {
			st.limits = l
			st.c.Events(Event{Phase: "recover", Message: "again with higher limits: " + e.Cause})
			continue
		}
		if !strings.Contains(e.Cause, "does not exist") || !strings.Contains(e.Cause, `database "`) {
			return e
		}
		if databases = databases[1:]; len(databases) == 0 && !guessed {
			guessed = true
			databases = slices.DeleteFunc(guessDatabases(st.c.dataPath(), st.c.Major),
				func(s string) bool { return strings.ContainsAny(s, "\n") || strings.HasPrefix(s, "-") })
		}
		if len(databases) == 0 {
			return e
		}
	}
	if st.c.Major < 14 && !st.c.Writable {
		for _, db := range st.found.databases {
			if e, err := st.single(ctx, db, grantSQL(st.role)); err != nil {
				return err
			} else if e != nil {
				return e
			}
		}
	}
	for _, f := range []string{"setup.sql", "setup.db", "setup.out", "setup.rc"} {
		_ = os.Remove(st.c.runPath(f))
	}
	return nil
}

// single runs statements in single-user mode. PostgreSQL's refusal is e.
func (st *starter) single(ctx context.Context, database, sql string) (e *StartError, err error) {
	log, rc := st.c.runPath("postgres.log"), st.c.runPath("setup.rc")
	offset := logSize(log)
	if err := os.Remove(rc); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := errors.Join(st.write("setup.sql", sql), st.write("setup.db", database)); err != nil {
		return nil, err
	}
	if err := st.box.order("single"); err != nil {
		return nil, st.boxFailed("recover", offset, err)
	}
	var code string
	err = st.wait(ctx, "recover", offset, func() bool {
		b, err := os.ReadFile(rc)
		code = strings.TrimSpace(string(b))
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	if code == "0" {
		return nil, nil
	}
	return failure("recover", readLog(log, offset), "exit status "+code), nil
}

// serve starts the postmaster and waits until it accepts connections.
func (st *starter) serve(ctx context.Context) error {
	if !st.c.Writable {
		root, err := os.OpenRoot(st.c.Root)
		if err != nil {
			return err
		}
		st.prep.root = root
		err = st.prep.standbySignal()
		_ = root.Close()
		if err != nil {
			return err
		}
	}
	for {
		if err := st.writeConf(); err != nil {
			return err
		}
		offset := logSize(st.c.runPath("postgres.log"))
		err := st.box.order("serve")
		if err != nil {
			err = st.boxFailed("serve", offset, err)
		} else {
			pidFile := filepath.Join(st.c.dataPath(), "postmaster.pid")
			err = st.wait(ctx, "serve", offset, func() bool { return accepts(pidFile) })
		}
		var e *StartError
		if !errors.As(err, &e) {
			return err
		}
		l, ok := raise(st.limits, e)
		if !ok {
			return err
		}
		st.limits = l
		st.c.Events(Event{Phase: "serve", Message: "again with higher limits: " + e.Cause})
		if err := st.box.release(ctx); err != nil {
			return err
		}
		if err := st.openBox(ctx); err != nil {
			return err
		}
	}
}

// accepts reads the postmaster's status from its lock file: the eighth line
// (LOCK_FILE_LINE_PM_STATUS in utils/pidfile.h) is "ready" once connections
// are accepted, on a hot standby too.
func accepts(pidFile string) bool {
	b, err := os.ReadFile(pidFile)
	if err != nil {
		return false
	}
	lines := strings.Split(string(b), "\n")
	return len(lines) >= 8 && strings.TrimSpace(lines[7]) == "ready"
}

// wait waits until ready says so, the box ends, time is up or ctx ends.
func (st *starter) wait(ctx context.Context, phase string, offset int64, ready func() bool) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	late := time.NewTimer(st.c.StartTimeout)
	defer late.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-st.box.done():
			if ready() && phase == "recover" {
				return nil
			}
			return st.boxFailed(phase, offset, nil)
		case <-late.C:
			return failure(phase, readLog(st.c.runPath("postgres.log"), offset),
				fmt.Sprintf("it did not finish within %s", st.c.StartTimeout))
		case <-ctx.Done():
			return fmt.Errorf("start of PostgreSQL interrupted: %w", context.Cause(ctx))
		}
	}
	return nil
}

// boxFailed describes the end of a box.
func (st *starter) boxFailed(phase string, offset int64, err error) error {
	how := ""
	if err != nil {
		how = err.Error()
	}
	select {
	case <-st.box.done():
		how = st.box.exit()
	case <-time.After(2 * time.Second):
	}
	if s := st.box.complaints(); s != "" {
		how += ": " + s
	}
	return failure(phase, readLog(st.c.runPath("postgres.log"), offset), how)
}
