package session

import (
	"log/slog"
	"time"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/pgrunner/pgwatch"
	"github.com/snapview/snapview/snapshot"
)

// Options say what to open and how.
type Options struct {
	// StateDir is where sessions keep their folders; one folder for each
	// session is made below StateDir/sessions.
	StateDir string

	// Ref is the backup, as a person gave it.
	Ref      string
	Snapshot snapshot.Options

	// Name is what people call the session; it may be empty.
	Name string

	// Attach is how the kernel gets the device.
	Attach attach.Method

	// Runner, Image and Memory are for the server; see pgrunner.Config.
	Runner pgrunner.Kind
	Image  string
	Memory int64

	// HidePasswords hides password hashes from whoever may query, as in
	// pgrunner.Config.
	HidePasswords bool

	// Writable starts a scratch server that takes writes, into the overlay,
	// in place of the frozen standby.
	Writable bool

	// MaxOverlay is how many bytes the overlay may hold before writes are
	// held; 0 for no limit but the host's disk.
	MaxOverlay int64

	// Budget, if not nil, is what the overlays of all sessions with it may hold
	// together; writes are held when it is used up.
	Budget *cow.Budget

	// TTL is how long the session may live, Idle how long it may stay unused
	// (see Session.Touch); 0 for as long as nobody closes it. Session.Keep
	// changes the first.
	TTL  time.Duration
	Idle time.Duration

	// NBDListen and PSQLListen are loopback addresses, host:port, on which the
	// device is exported by NBD and the server is reached by other clients.
	// Empty: not at all. Port 0 takes a free one.
	NBDListen  string
	PSQLListen string

	// Statements, if not nil, hears of every statement that clients ran which
	// came in by PSQLListen or by the socket of the session's Login, from
	// several goroutines. id is the session's.
	Statements func(id, remote string, st pgwatch.Statement)

	// DeviceOnly stops after the NBD export: nothing is attached, no server.
	DeviceOnly bool
	// ReadOnly exports the base itself, without an overlay. It needs DeviceOnly.
	ReadOnly bool

	Logger *slog.Logger
}
