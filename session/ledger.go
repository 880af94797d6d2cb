package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/pgrunner"
)

// The files of a session's folder.
const (
	ledgerFile  = "session.json"
	lockFile    = "lock"
	overlayDir  = "overlay"
	attachDir   = "disk"
	runDir      = "run"
	sqlDir      = "sql" // no longer than runDir: paths of sockets are short
	nbdSocket   = "nbd.sock"
	controlSock = "control.sock"
)

// A Record is what a session's ledger says: whose it is and what it holds. It
// is replaced as a whole at every change. It is not synced to disk, since
// nothing that it names but folders outlives the machine's memory.
type Record struct {
	ID      string    `json:"id"`
	Ref     string    `json:"ref"`
	Name    string    `json:"name,omitempty"`
	Parent  string    `json:"parent,omitempty"` // the session that it is a fork of
	Kind    string    `json:"kind,omitempty"`
	Version string    `json:"version,omitempty"` // of PostgreSQL, as the backup has it
	State   State     `json:"state"`
	PID     int       `json:"pid"`
	Opened  time.Time `json:"opened"`
	Expires time.Time `json:"expires,omitzero"`

	// Store is the folder of the overlay's layers, below the state
	// directory's stores. A session and its forks name the same.
	Store string `json:"store,omitempty"`

	// NBD is the address of a fork's TCP export, host:port; empty without one.
	// Nobody chose the port.
	NBD string `json:"nbd,omitempty"`

	// Login is how the server's clients log in, once it runs.
	Login *Login `json:"login,omitempty"`

	Attachment []attach.Resource   `json:"attachment,omitempty"`
	Server     []pgrunner.Resource `json:"server,omitempty"`
}

// A Login is what a client of the server needs.
type Login struct {
	SocketDir string `json:"socket_dir"`
	Port      int    `json:"port"`
	Role      string `json:"role"`
	Password  string `json:"password"`
	Database  string `json:"database"` // to begin with
}

// A ledger is a session's folder, locked, and the Record in it.
type ledger struct {
	dir  string
	lock *os.File

	mu     sync.Mutex
	record Record
}

// createLedger makes the session's folder and takes its lock.
func createLedger(root string, record Record) (*ledger, error) {
	dir := filepath.Join(root, record.ID)
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	// The server's user has to reach its socket folder and the mount below.
	if err := os.Mkdir(dir, 0o711); err != nil {
		return nil, fmt.Errorf("making the session's folder: %w", err)
	}
	lock, err := takeNewLock(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	l := &ledger{dir: dir, lock: lock, record: record}
	if err := l.update(func(*Record) {}); err != nil {
		return nil, errors.Join(err, l.remove())
	}
	return l, nil
}

// takeLock locks a session's folder, or returns errInUse at once.
func takeLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the session's lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errInUse
		}
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return f, nil
}

// takeNewLock locks the folder of a session that is being made. Somebody who
// lists sessions may hold its lock for an instant.
func takeNewLock(dir string) (*os.File, error) {
	for try := 0; ; try++ {
		f, err := takeLock(dir)
		if !errors.Is(err, errInUse) || try == 100 {
			return f, err
		}
		time.Sleep(time.Millisecond)
	}
}

var errInUse = errors.New("its process is alive")

// update changes the record and writes it.
func (l *ledger) update(change func(*Record)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.record)
	data, err := json.MarshalIndent(&l.record, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(l.dir, ledgerFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("writing the session's ledger: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing the session's ledger: %w", err)
	}
	return nil
}

func (l *ledger) recordAttachment(r attach.Resource) error {
	return l.update(func(rec *Record) { rec.Attachment = append(rec.Attachment, r) })
}

func (l *ledger) recordServer(r pgrunner.Resource) error {
	return l.update(func(rec *Record) { rec.Server = append(rec.Server, r) })
}

// remove deletes the folder and lets go of the lock. What is still mounted
// inside is never touched: a folder with a mount in it is an error.
func (l *ledger) remove() error {
	err := removeFolder(l.dir)
	return errors.Join(err, l.lock.Close())
}

// removeFolder deletes a session's folder unless something is mounted below.
func removeFolder(dir string) error {
	mounts, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	if len(mounts) > 0 {
		return fmt.Errorf("%s is still mounted: not removing the session's folder", mounts[0])
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing the session's folder: %w", err)
	}
	return nil
}

// readRecord reads a session's ledger.
func readRecord(dir string) (Record, error) {
	var r Record
	data, err := os.ReadFile(filepath.Join(dir, ledgerFile))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("reading %s: %w", filepath.Join(dir, ledgerFile), err)
	}
	return r, nil
}
