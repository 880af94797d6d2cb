package web

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors that implementations of Sessions and Session return, alone or
// wrapped, so that the API answers with the right status and code.
var (
	// ErrNotFound: no session, checkpoint or database of that name.
	ErrNotFound = errors.New("not found")
	// ErrNotReady: the session has no server (yet, or any more).
	ErrNotReady = errors.New("the session is not ready")
	// ErrNotSupported: this session cannot do it at all.
	ErrNotSupported = errors.New("not supported")
	// ErrConflict: it cannot be done in the state that the session is in.
	ErrConflict = errors.New("conflict")
	// ErrInvalid: an argument makes no sense; the message says why.
	ErrInvalid = errors.New("invalid")
)

// Sessions is what the server asks the program for: the sessions that it may
// show. All methods may be called concurrently.
type Sessions interface {
	// List returns the sessions, newest first.
	List(ctx context.Context) ([]Session, error)

	// Get returns the session of that id, or ErrNotFound. A session that was
	// torn down stays visible, as closed, for as long as the program likes.
	Get(ctx context.Context, id string) (Session, error)

	// Totals returns what all sessions hold together of what they may; nil
	// where nobody shares anything. It is cheap.
	Totals(ctx context.Context) *Totals
}

// Totals are what the sessions of a shared server hold together, those that are
// being opened and closed included.
type Totals struct {
	Sessions     Total `json:"sessions"`
	OverlayBytes Total `json:"overlayBytes"` // data; every layer counts once
	MemoryBytes  Total `json:"memoryBytes"`  // that their servers may take
}

// A Total is a figure and its limit.
type Total struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit,omitempty"` // 0: none
}

// A Session is one backup that is open, as the page sees it. All methods may
// be called concurrently, in every state, and after the session was closed:
// the ones that need a server then return ErrNotReady.
type Session interface {
	// Info returns the session's state and figures. It is cheap, and never
	// waits for the server or the disk.
	Info() Info

	// Snapshot returns what is known about the backup and what preflight
	// said about it.
	Snapshot(ctx context.Context) (Snapshot, error)

	// Close begins to tear the session down and returns without waiting for
	// the end of it; events tell the rest. Calling it again is harmless.
	Close(ctx context.Context) error

	// Events returns the events with an id greater than after that are still
	// kept, then those that happen, in order, each id once. The channel is
	// closed after the event of type EventClosed, or when ctx is done.
	// A consumer that is slow holds nobody up: it may miss events of type
	// EventOverlay and no others.
	Events(ctx context.Context, after int64) (<-chan Event, error)

	// Samples returns the figures over time, oldest first, only those after
	// since. Their number is bounded (older ones are thinned out).
	Samples(ctx context.Context, since time.Time) ([]Sample, error)

	// Growth says whose the overlay's bytes are: since a checkpoint (empty or
	// "base" for the backup as it came), until one above it (empty for now).
	// It may take as long as asking about each file. GrowthSteps is the same
	// for each layer between the two.
	Growth(ctx context.Context, since, until string) (Growth, error)
	GrowthSteps(ctx context.Context, since, until string) ([]GrowthStep, error)

	// SetLimit changes how many bytes the overlay may hold; 0 means no limit
	// but the disk. Writes that were held go on if there is room now.
	SetLimit(ctx context.Context, bytes int64) error

	// Keep changes when the session's time to live is over: after d from now,
	// 0 for never. It returns the new end, the zero Time for never; ErrInvalid
	// when that is longer than may be asked for, ErrNotReady when the session
	// ends already.
	Keep(ctx context.Context, d time.Duration) (time.Time, error)

	// Checkpoints, Checkpoint and Fork are the overlay's layers; they return
	// ErrNotSupported when the session has only one.
	Checkpoints(ctx context.Context) ([]Checkpoint, error)
	Checkpoint(ctx context.Context, name string) (Checkpoint, error)
	Fork(ctx context.Context, opts ForkOptions) (Session, error)

	// Layers are all layers of the session's disk, its forks' among them,
	// parents before children. MergeLayer folds the layer below a checkpoint
	// into it; DiscardLayer removes a layer, with branch also those over it.
	// What a session needs, and what has layers over it, is ErrConflict.
	// progress, which may be nil, is told how many bytes a merge has copied,
	// the first time before the first; when ctx is done first, the layers are
	// as they were.
	Layers(ctx context.Context) ([]Layer, error)
	MergeLayer(ctx context.Context, id string, progress func(done, total int64)) error
	DiscardLayer(ctx context.Context, id string, branch bool) error

	// Disk opens the disk of a checkpoint for copying it; "base" is the
	// backup's own. The caller closes it. Reading it fails when ctx is done.
	Disk(ctx context.Context, checkpoint string) (Disk, error)

	// Dump runs pg_dump, of the server's own version, and copies what it
	// prints to w. The error has pg_dump's words.
	Dump(ctx context.Context, opts DumpOptions, w io.Writer) error

	// DSN returns a connection string (anything that pgx.ParseConfig takes)
	// for a database of the server as the reader role: NOSUPERUSER, member
	// of pg_read_all_data and of nothing that writes. It returns ErrNotReady
	// when there is no server, and does not check that the database exists.
	DSN(database string) (string, error)
}

// State is where a session is in its life.
type State string

// The states of a session, in order.
const (
	StateOpening State = "opening"
	StateReady   State = "ready"
	StateClosing State = "closing"
	StateClosed  State = "closed"
	StateFailed  State = "failed"
)

// Info is a session at one instant.
type Info struct {
	ID              string        `json:"id"`
	Name            string        `json:"name,omitempty"`
	Parent          string        `json:"parent,omitempty"` // the session that it is a fork of
	Owner           string        `json:"owner,omitempty"`  // who opened it
	State           State         `json:"state"`
	Reference       string        `json:"reference"`          // the backup as it was asked for
	Kind            string        `json:"kind"`               // what it was recognised as
	Postgres        string        `json:"postgres,omitempty"` // version of the server, "15.18"
	Moment          string        `json:"moment,omitempty"`   // the moment shown, in words
	CreatedAt       time.Time     `json:"createdAt"`
	ReadyAt         *time.Time    `json:"readyAt,omitempty"`
	ExpiresAt       *time.Time    `json:"expiresAt,omitempty"` // end of its time to live
	IdleAt          *time.Time    `json:"idleAt,omitempty"`    // when it ends if nothing is asked
	Writable        bool          `json:"writable"`            // a scratch server, not a standby
	Runner          string        `json:"runner,omitempty"`
	Attachment      string        `json:"attachment,omitempty"`
	DefaultDatabase string        `json:"defaultDatabase,omitempty"`
	Psql            *PsqlEndpoint `json:"psql,omitempty"`
	Phases          []Phase       `json:"phases"`
	Failure         *Failure      `json:"failure,omitempty"`
	Stats           Stats         `json:"stats"`
}

// PsqlEndpoint is where other clients reach the server. The password is not
// here: it is shown once, by the program.
type PsqlEndpoint struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	User     string `json:"user"`
	Database string `json:"database,omitempty"`
}

// PhaseState is how far a phase is.
type PhaseState string

// The states of a phase.
const (
	PhasePending PhaseState = "pending"
	PhaseRunning PhaseState = "running"
	PhaseDone    PhaseState = "done"
	PhaseFailed  PhaseState = "failed"
)

// A Phase is one step of opening or closing.
type Phase struct {
	Name      string     `json:"name"`
	State     PhaseState `json:"state"`
	Detail    string     `json:"detail,omitempty"`
	StartedAt *time.Time `json:"startedAt,omitempty"`
	Millis    float64    `json:"ms,omitempty"` // took; so far, while it runs
}

// Failure says why a session failed.
type Failure struct {
	Phase   string   `json:"phase,omitempty"`
	Message string   `json:"message"`
	Hint    string   `json:"hint,omitempty"`
	Log     []string `json:"log,omitempty"` // the last lines that PostgreSQL wrote
}

// Stats are the figures of a session, all in bytes.
type Stats struct {
	OverlayBytes    int64  `json:"overlayBytes"`
	LimitBytes      int64  `json:"limitBytes"`  // 0: none
	BaseBytes       int64  `json:"baseBytes"`   // the virtual disk
	BackupBytes     int64  `json:"backupBytes"` // the data directory in the backup
	BackupBytesRead int64  `json:"backupBytesRead"`
	Holding         bool   `json:"holding"` // writes wait for room
	HoldingWhy      string `json:"holdingWhy,omitempty"`
	HoldingReason   string `json:"holdingReason,omitempty"` // quota, total-quota or host-disk-full
}

// A Sample is the figures that change, at one time.
type Sample struct {
	Time            time.Time `json:"time"`
	OverlayBytes    int64     `json:"overlayBytes"`
	BackupBytesRead int64     `json:"backupBytesRead"`
	Holding         bool      `json:"holding"`
}

// EventType says which of an Event's fields are set.
type EventType string

// The types of events.
const (
	EventPhase   EventType = "phase"   // Phase
	EventState   EventType = "state"   // State; Failure when it is failed
	EventOverlay EventType = "overlay" // Sample
	EventHold    EventType = "hold"    // Sample, Message: writes are held, or go on
	EventWarning EventType = "warning" // Warning
	EventClosing EventType = "closing" // Message: why
	EventClosed  EventType = "closed"  // the last one
)

// An Event is something that happened in a session.
type Event struct {
	ID      int64     `json:"id"` // increasing, from 1
	Type    EventType `json:"type"`
	Time    time.Time `json:"time"`
	State   State     `json:"state,omitempty"`
	Phase   *Phase    `json:"phase,omitempty"`
	Sample  *Sample   `json:"sample,omitempty"`
	Warning *Warning  `json:"warning,omitempty"`
	Failure *Failure  `json:"failure,omitempty"`
	Message string    `json:"message,omitempty"`
}

// Severity says how much a warning matters.
type Severity string

// The severities.
const (
	SeverityInfo    Severity = "info"
	SeverityWarning Severity = "warning"
	SeverityDanger  Severity = "danger"
)

// A Warning is something that a person should know about a backup.
type Warning struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	Detail   string   `json:"detail,omitempty"`
	Hint     string   `json:"hint,omitempty"`
}

// Snapshot is what the backup is: its identity and what preflight found.
type Snapshot struct {
	Reference        string       `json:"reference"`
	Kind             string       `json:"kind"`
	Major            int          `json:"major,omitempty"`
	SystemIdentifier string       `json:"systemIdentifier,omitempty"`
	Timeline         int64        `json:"timeline,omitempty"`
	CheckpointLSN    string       `json:"checkpointLSN,omitempty"`
	RedoLSN          string       `json:"redoLSN,omitempty"`
	CheckpointTime   *time.Time   `json:"checkpointTime,omitempty"`
	BackupStartedAt  *time.Time   `json:"backupStartedAt,omitempty"`
	BackupMethod     string       `json:"backupMethod,omitempty"`
	ClusterState     string       `json:"clusterState,omitempty"`
	Label            string       `json:"label,omitempty"`
	Bytes            int64        `json:"bytes,omitempty"`
	Files            int64        `json:"files,omitempty"`
	Tablespaces      []Tablespace `json:"tablespaces,omitempty"`
	Facts            []Fact       `json:"facts"`
	Warnings         []Warning    `json:"warnings"`
	Changes          []Change     `json:"changes"`
	Settings         []Setting    `json:"settings"`
}

// A Tablespace is one of the backup's.
type Tablespace struct {
	OID      uint32 `json:"oid"`
	Location string `json:"location,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
}

// A Fact is anything else worth showing.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Change is what was done in the overlay so that the backup opens.
type Change struct {
	Path string `json:"path"`
	What string `json:"what"`
	Why  string `json:"why"`
}

// A Setting is one that the backup came with.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	File  string `json:"file,omitempty"`
	Used  bool   `json:"used"` // as it is

	// Becomes is its value in a session; nil for PostgreSQL's default.
	// Effect says why, where people may wonder.
	Becomes *string `json:"becomes,omitempty"`
	Effect  string  `json:"effect,omitempty"`
}

// Growth is the attribution of the overlay's bytes.
// TotalBytes = MetadataBytes + FreeBytes + the bytes of all files.
type Growth struct {
	At            time.Time        `json:"at"`
	Since         string           `json:"since,omitempty"`
	Until         string           `json:"until,omitempty"`
	Notes         []string         `json:"notes,omitempty"` // what the figures cannot say
	TotalBytes    int64            `json:"totalBytes"`
	MetadataBytes int64            `json:"metadataBytes"`
	FreeBytes     int64            `json:"freeBytes"` // of files that are gone
	Causes        []CauseGrowth    `json:"causes"`
	Relations     []RelationGrowth `json:"relations"`
	Files         []FileGrowth     `json:"files"`
	Truncated     bool             `json:"truncated,omitempty"`
}

// A GrowthStep is what one layer added.
type GrowthStep struct {
	Since      string           `json:"since"`           // the checkpoint before
	Until      string           `json:"until,omitempty"` // empty: now
	Name       string           `json:"name,omitempty"`
	At         time.Time        `json:"at"`
	Bytes      int64            `json:"bytes"`
	TotalBytes int64            `json:"totalBytes"` // since the first step began
	Causes     []CauseGrowth    `json:"causes"`
	Relations  []RelationGrowth `json:"relations"` // the largest
}

// CauseGrowth is the bytes of one cause.
type CauseGrowth struct {
	Cause string `json:"cause"`
	Bytes int64  `json:"bytes"`
}

// RelationGrowth is the bytes of one relation.
type RelationGrowth struct {
	Database string `json:"database"` // empty: shared by all
	Schema   string `json:"schema"`
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	OID      uint32 `json:"oid,omitempty"`
	Table    string `json:"table,omitempty"` // whose index or TOAST table it is
	Bytes    int64  `json:"bytes"`
	Cause    string `json:"cause,omitempty"`
}

// FileGrowth is the bytes of one file.
type FileGrowth struct {
	Path      string `json:"path"` // from the data directory
	Bytes     int64  `json:"bytes"`
	FileBytes int64  `json:"fileBytes,omitempty"`
	Extents   int    `json:"extents,omitempty"`
	Cause     string `json:"cause"`
	Relation  string `json:"relation,omitempty"`
}

// A Checkpoint is a sealed layer of the overlay.
type Checkpoint struct {
	ID           string    `json:"id"`
	Name         string    `json:"name,omitempty"`
	Parent       string    `json:"parent,omitempty"`
	CreatedAt    time.Time `json:"createdAt"`
	OverlayBytes int64     `json:"overlayBytes"` // of this layer alone
}

// A Layer is one layer of the overlays over a disk.
type Layer struct {
	ID           string     `json:"id"`
	Parent       string     `json:"parent,omitempty"` // empty: the backup
	Name         string     `json:"name,omitempty"`
	Sealed       bool       `json:"sealed"`            // a checkpoint
	Session      string     `json:"session,omitempty"` // that writes it
	Current      bool       `json:"current"`           // part of the disk that was asked for
	CreatedAt    time.Time  `json:"createdAt"`
	SealedAt     *time.Time `json:"sealedAt,omitempty"`
	OverlayBytes int64      `json:"overlayBytes"` // of this layer alone
	Damage       string     `json:"damage,omitempty"`
}

// A Disk is the disk of a checkpoint. It does not change.
type Disk interface {
	io.ReaderAt
	io.Closer
	// Size returns its size in bytes.
	Size() int64
	// Data calls yield for the ranges that may hold something but zeros, in
	// order, until it returns false.
	Data(yield func(off, n int64) bool) error
	// WriteQcow2 writes it as a qcow2 image.
	WriteQcow2(w io.Writer) error
}

// ForkOptions say what a fork starts from.
type ForkOptions struct {
	Checkpoint string `json:"checkpoint,omitempty"` // empty: a new one
	Name       string `json:"name,omitempty"`
	Writable   bool   `json:"writable,omitempty"`

	// Owner is who asked for it, and whose it will be; empty for the operator,
	// who makes forks for the owner of what is forked.
	Owner string `json:"-"`
}
