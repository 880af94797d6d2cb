package web

import (
	"crypto/tls"
	"log/slog"
	"net"
	"time"

	"github.com/snapview/snapview/web/desk"
)

// Options configure a Server. Sessions is required, the rest has defaults.
type Options struct {
	// Sessions are what is shown.
	Sessions Sessions

	// Catalogue is what may be opened from the page; nil means nothing.
	Catalogue Catalogue

	// Listener is where browsers come in. Without one there is no page and
	// no login URL, and only ServeControl can be used. The server closes it.
	Listener net.Listener

	// AllowedHosts are names, besides the listener's address and localhost,
	// that a request may name as its Host, without a port. Links to a page that
	// a network reaches (NewLoginURL) name the first.
	AllowedHosts []string

	// Users are the people who share the server, if it is shared.
	Users Users

	// TLS, if not nil, has the certificate that the Listener's connections are
	// encrypted with.
	TLS *tls.Config

	// Audit, if not nil, is called after every statement that a client ran,
	// from the goroutine that ran it, and after what was done to a session that
	// others feel (see Statement.Kind).
	Audit func(Statement)

	// AuditState, if not nil, says how many records Audit could not keep so far,
	// and while that goes on why. It is cheap, and shown by /healthz and metrics.
	AuditState func() (lost int64, why error)

	// Desks keeps tabs, saved statements and history; nil keeps them until the
	// server ends.
	Desks *desk.Store

	// Logger gets one line per request at level Debug, and what went wrong.
	// Tokens, cookies and statements are never in it.
	Logger *slog.Logger

	// Version is shown by the API.
	Version Version

	// StatementTimeout ends statements, exports and pages of rows; default
	// one hour.
	StatementTimeout time.Duration

	// MaxValueBytes is the longest value that is read from the server;
	// default 256 MiB. One statement can hold so much in memory.
	MaxValueBytes int

	// MaxStatements is how many statements and exports run at once in one
	// session; default 20.
	MaxStatements int

	// MaxStatementsPerUser is how many of them one of Users runs at once, over
	// all sessions; default DefaultStatementsPerUser. The operator has no such
	// limit, and so has everybody where people are not told apart.
	MaxStatementsPerUser int
}

// DefaultStatementsPerUser leaves others room in a session, of what may run at
// once in it, and is more than the page asks for at once by itself.
const DefaultStatementsPerUser = 16

// Version says what program this is.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	API     string `json:"api"`
	Go      string `json:"go"`
}
