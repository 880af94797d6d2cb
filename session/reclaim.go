package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/pgrunner"
)

// ErrNoSession is returned when there is no session of that id.
var ErrNoSession = errors.New("no such session")

func sessionsDir(stateDir string) string { return filepath.Join(stateDir, "sessions") }

// A Found is a session's folder, as another process sees it.
type Found struct {
	Record
	Dir   string
	Alive bool // its process holds the lock
}

// ControlSocket is where the session's API is served.
func (f Found) ControlSocket() string { return filepath.Join(f.Dir, controlSock) }

// NBDSocket is where its disk is exported by NBD.
func (f Found) NBDSocket() string { return filepath.Join(f.Dir, nbdSocket) }

// List finds the sessions below a state directory, oldest first, also those
// whose process died. A folder whose ledger cannot be read has only an ID.
func List(stateDir string) ([]Found, error) {
	entries, err := os.ReadDir(sessionsDir(stateDir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	var found []Found
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		f := Found{Dir: filepath.Join(sessionsDir(stateDir), entry.Name())}
		lock, err := takeLock(f.Dir)
		f.Alive = errors.Is(err, errInUse)
		if lock != nil {
			lock.Close()
		}
		if f.Record, err = readRecord(f.Dir); err != nil {
			if _, gone := os.Stat(f.Dir); errors.Is(gone, os.ErrNotExist) {
				continue // closed while we looked
			}
		}
		f.ID = entry.Name()
		f.Alive = f.Alive && !dying(f.PID)
		found = append(found, f)
	}
	slices.SortFunc(found, func(a, b Found) int { return a.Opened.Compare(b.Opened) })
	return found, nil
}

// Find returns the living session whose id begins with the given text; with
// an empty text the only one there is.
func Find(stateDir, id string) (Found, error) {
	all, err := List(stateDir)
	if err != nil {
		return Found{}, err
	}
	var matches []Found
	var ids []string
	for _, f := range all {
		if f.Alive && strings.HasPrefix(f.ID, strings.ToLower(id)) {
			matches = append(matches, f)
			ids = append(ids, f.ID)
		}
	}
	switch {
	case len(matches) == 1:
		return matches[0], nil
	case len(matches) > 1:
		return Found{}, fmt.Errorf("%w: several match, say which: %s", ErrNoSession, strings.Join(ids, ", "))
	case id == "":
		return Found{}, fmt.Errorf("%w: none is open", ErrNoSession)
	}
	return Found{}, fmt.Errorf("%w: %s", ErrNoSession, id)
}

// A Reclaimed says what Reclaim did about one session whose process died.
type Reclaimed struct {
	ID  string
	Ref string
	Err error // what could not be given back; the folder is kept then
}

// Reclaim gives back what sessions hold whose process died: their servers,
// mounts, devices, folders and overlays, nothing that is not in their ledgers. Living
// sessions are left alone.
func Reclaim(ctx context.Context, stateDir string) ([]Reclaimed, error) {
	all, err := List(stateDir)
	if err != nil {
		return nil, err
	}
	var done []Reclaimed
	for _, f := range all {
		if f.Alive {
			continue
		}
		// A killed process keeps its lock while one of its threads waits for
		// its own disk. That ends here.
		attach.Abort(f.Attachment)
		lock, err := takeLockOf(ctx, f)
		if errors.Is(err, errInUse) || errors.Is(err, os.ErrNotExist) {
			continue // another gc is at it, or was
		}
		if err == nil {
			err = reclaimOne(ctx, f)
			lock.Close()
		}
		done = append(done, Reclaimed{ID: f.ID, Ref: f.Ref, Err: err})
	}
	return done, reclaimStores(stateDir)
}

// dying says whether a process was killed and is not gone yet: its first thread
// has yet to notice the signal in the kernel, is on its way out, or is a zombie.
func dying(pid int) bool {
	if leaving(pid) {
		return true
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	const sigkill = 1 << 8 // of proc(5)'s mask of pending signals
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		switch name {
		case "State":
			if strings.HasPrefix(value, "Z") {
				return true
			}
		case "SigPnd":
			pending, err := strconv.ParseUint(value, 16, 64)
			return err == nil && pending&sigkill != 0
		}
	}
	return false
}

// leaving says whether a process's first thread is on its way out, where the
// signal is not pending any more: proc(5)'s flags of it, of the kernel's
// linux/sched.h. Letting go of memory and files takes its time on a busy machine.
func leaving(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	const exiting, signaled = 0x4, 0x400 // PF_EXITING, PF_SIGNALED
	// The name in brackets may hold anything; the flags are the seventh after.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 7 {
		return false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return err == nil && flags&(exiting|signaled) != 0
}

// takeLockOf takes the lock of a session whose process is dead, or about to be.
func takeLockOf(ctx context.Context, f Found) (*os.File, error) {
	for deadline := time.Now().Add(10 * time.Second); ; {
		lock, err := takeLock(f.Dir)
		if !errors.Is(err, errInUse) || !dying(f.PID) || time.Now().After(deadline) {
			return lock, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// reclaimOne undoes one session in the order in which Close would.
func reclaimOne(ctx context.Context, f Found) error {
	record, err := readRecord(f.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := pgrunner.Reclaim(ctx, record.Server); err != nil {
		return fmt.Errorf("its server: %w", err)
	}
	if err := attach.Reclaim(ctx, record.Attachment); err != nil {
		return fmt.Errorf("its disk: %w", err)
	}
	return removeFolder(f.Dir)
}
