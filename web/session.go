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
