package pgrunner

import (
	"errors"
	"fmt"
	"time"
)

// Kind names a way to run PostgreSQL.
type Kind string

// The runners. Auto takes Docker where its engine answers and has, or can
// get, the image; else the binaries installed on this host.
const (
	Auto   Kind = "auto"
	Docker Kind = "docker"
	Local  Kind = "local"
)

// ParseKind returns the runner of that name; "" is Auto.
func ParseKind(name string) (Kind, error) {
	switch k := Kind(name); k {
	case "":
		return Auto, nil
	case Auto, Docker, Local:
		return k, nil
	default:
		return "", fmt.Errorf("unknown runner %q: use auto, docker or local", name)
	}
}

// Oldest and newest major version that the configuration is written for.
const (
	MinMajor = 10
	MaxMajor = 18
)

// Config says which PostgreSQL to run on what, and how. Choose reads Runner,
// Major, Image, DockerHost, CacheDir and Events; Start reads all of it.
type Config struct {
	// Runner is the wanted runner; "" is Auto.
	Runner Kind
	// Major is PG_VERSION of the data directory, from MinMajor to MaxMajor.
	Major int
	// Image is the container image; "" is postgres:<Major>.
	Image string
	// DockerHost is the engine's address; "" means DOCKER_HOST or the
	// default socket.
	DockerHost string

	// CacheDir, if set, remembers which user an image has: finding out takes
	// a container, some 0.1 s. The directory is made if need be.
	CacheDir string

	// SessionID goes into names and labels of what is created, so that people
	// can tell what it belongs to: letters, digits and '-'.
	SessionID string
	// Root is the directory (a mount point, as a rule) that holds DataDir and
	// TablespaceDir. Its files belong to the Plan's UID and GID.
	Root string
	// DataDir is the data directory below Root; "" is "data".
	DataDir string
	// TablespaceDir holds a directory per tablespace OID, below Root; "" is
	// "tablespaces". It may be absent where there are no tablespaces.
	TablespaceDir string
	// RunDir is a directory of the session for the socket, the log and
	// temporary files. It is created if need be, with mode 0700, and not
	// removed. Not on Root: what is written here is not part of the overlay.
	RunDir string

	// Limits are those of the cluster's pg_control. Only those of prepared
	// transactions and of locks are used from the beginning: the way we
	// start, the others need not be what they were. Zeros mean unknown.
	Limits Limits
	// HidePasswords replaces the roles' password hashes and the subscriptions'
	// connection strings, which a member of pg_read_all_data could select from
	// the catalogue. It changes the overlay; a standby's own catalogue cannot be
	// changed any more. Passwords in user mappings stay readable.
	HidePasswords bool
	// Writable asks for a scratch server: promoted, and the role that clients
	// use is a superuser.
	Writable bool
	// CrashConsistent says that Root is a snapshot of a running cluster taken
	// at one instant. Without it, and without backup_label, a cluster that
	// was not shut down cleanly is refused (ErrUnsafe).
	CrashConsistent bool

	// MemoryBytes limits the container's memory, or the private memory of
	// each local process; 0 is a default by the host's memory.
	MemoryBytes int64
	// ShmBytes is the size of /dev/shm (parallel queries); 0 is 256 MiB.
	ShmBytes int64
	// PIDs limits the number of processes; 0 is 256. Locally, sixteen times
	// as many are the limit of all servers together.
	PIDs int64
	// TempFileBytes limits one session's temporary files (temp_file_limit);
	// 0 is 4 GiB, negative is no limit.
	TempFileBytes int64
	// StartTimeout limits each of the two starts; 0 is ten minutes.
	// Recovery of much WAL takes its time, so this is generous.
	StartTimeout time.Duration

	// Settings are added at the end of postgresql.conf, after ours. For
	// experts and tests.
	Settings map[string]string

	// Events, if set, is told what happens. It is called from one goroutine
	// at a time and must not block.
	Events func(Event)
	// Record, if set, is told of each resource before it is used. An error
	// ends the start.
	Record func(Resource) error

	foresee bool // Choose only looks
}

// Limits are the settings that a standby must not have lower than the cluster
// the WAL came from, as pg_control holds them. A start that fails for too low
// a value is repeated with the value it asks for.
type Limits struct {
	MaxConnections     int
	MaxWorkerProcesses int
	MaxWALSenders      int
	MaxPreparedXacts   int
	MaxLocksPerXact    int
}

// An Event is one line of progress.
type Event struct {
	// Phase is choose, pull, prepare, recover, serve, stop or exited.
	Phase string
	// Message is for people: one line, no trailing period.
	Message string
	// Done and Total count bytes where the length of a step is known (a
	// pull); else both are 0.
	Done, Total int64
}

// A Resource is something that has to be cleaned up if we cannot do it: it is
// recorded before it is used, and Reclaim removes it.
type Resource struct {
	// Kind is "process" or "container".
	Kind string `json:"kind"`
	// PID, StartTime (clock ticks since boot, field 22 of /proc/PID/stat) and
	// BootID identify a process for all time.
	PID       int    `json:"pid,omitempty"`
	StartTime uint64 `json:"start_time,omitempty"`
	BootID    string `json:"boot_id,omitempty"`
	// Container is a container's name, Engine the address of its engine, and
	// Session the value of its label io.snapview.session.
	Container string `json:"container,omitempty"`
	Engine    string `json:"engine,omitempty"`
	Session   string `json:"session,omitempty"`
}

// A Plan is what Choose decided.
type Plan struct {
	// Runner is Docker or Local.
	Runner Kind
	// Why says in one line why it was chosen.
	Why string
	// Image is the container image and ImageID its digest (Docker).
	Image, ImageID string
	// Engine is the engine's address (Docker).
	Engine string
	// BinDir holds the postgres binary (Local).
	BinDir string
	// Version is the server's version as far as known before it runs, such as
	// "15.18"; it may be just the major version.
	Version string
	// UID and GID run the server and have to own the data directory.
	UID, GID int
}

// Errors that callers tell apart, with errors.Is.
var (
	// ErrNoRunner: neither the engine nor local binaries can run this major
	// version. The message says what to install.
	ErrNoRunner = errors.New("nothing here can run this PostgreSQL")
	// ErrUnsafe: the server would start, silently corrupt.
	ErrUnsafe = errors.New("starting this data directory is unsafe")
	// ErrNeedsRoot: the local runner needs root for its namespaces.
	ErrNeedsRoot = errors.New("the local runner needs root")
)

// A StartError is PostgreSQL's own refusal to start. Its message holds the
// last lines of the log.
type StartError struct {
	// Phase is recover or serve.
	Phase string
	// Cause is PostgreSQL's FATAL or PANIC message, or how it ended.
	Cause string
	// Detail and Hint are PostgreSQL's, Advice is ours; each may be empty.
	Detail, Hint, Advice string
	// Log holds the last lines of the log.
	Log []string
}

func (e *StartError) Error() string {
	s := "PostgreSQL failed in phase " + e.Phase + ": " + e.Cause
	for _, x := range []struct{ name, text string }{{"DETAIL", e.Detail}, {"HINT", e.Hint}, {"advice", e.Advice}} {
		if x.text != "" {
			s += "\n" + x.name + ": " + x.text
		}
	}
	if len(e.Log) > 0 {
		s += "\nlast lines of its log:"
		for _, l := range e.Log {
			s += "\n  " + l
		}
	}
	return s
}
