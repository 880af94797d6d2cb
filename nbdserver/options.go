package nbdserver

import (
	"crypto/tls"
	"log/slog"
	"time"
)

// Defaults of Options, chosen so that a handful of clients (the kernel with
// several connections, nbdcopy) run at full speed while the worst set of
// clients stays within a few hundred MiB.
const (
	DefaultMaxConnections   = 64
	DefaultWorkers          = 16
	DefaultConnMemory       = 64 << 20
	DefaultMemory           = 256 << 20
	DefaultHandshakeTimeout = 15 * time.Second
	DefaultTransferTimeout  = 30 * time.Second
)

// MaxPayload is the largest READ or WRITE in bytes that the server announces
// and accepts: 32 MiB, which every client supports. Commands without a payload
// may be as long as the export.
const MaxPayload = 32 << 20

// Options configure a Server. The zero value is a good one: no TLS, default
// limits, no log.
type Options struct {
	// TLS, when not nil, is offered to clients by NBD_OPT_STARTTLS.
	// LoadTLS makes one from a folder of certificates.
	TLS *tls.Config

	// RequireTLS refuses every client that does not negotiate TLS first.
	// It needs TLS to be set.
	RequireTLS bool

	// MaxConnections is how many clients are served at once; further ones
	// are disconnected as they come.
	MaxConnections int

	// Workers is how many requests of each kind (reading, changing) one
	// connection may have at the device at once.
	Workers int

	// ConnMemory and Memory bound the bytes of requests and replies in
	// flight, on one connection and in all. A client at its bound is not
	// read from until its requests are answered and the answers taken.
	ConnMemory int64
	Memory     int64

	// HandshakeTimeout is the time from accept to the end of the option
	// haggling, TLS included.
	HandshakeTimeout time.Duration

	// TransferTimeout is the time a client may take to send the payload of
	// one WRITE, or to accept a batch of replies. A client that is slower is
	// disconnected. Idle clients are not affected.
	TransferTimeout time.Duration

	// Logger receives connections (debug) and their failures (warn). Nil
	// logs nothing.
	Logger *slog.Logger

	// OnFault, when not nil, is called for every request that the device
	// failed, possibly from several goroutines at once. It must return
	// quickly.
	OnFault func(Fault)
}

// A Fault is a request that a client made correctly and the device failed.
// The client got an error for this request alone.
type Fault struct {
	Export  string
	Command string // READ, WRITE, FLUSH, TRIM, WRITE_ZEROES, BLOCK_STATUS
	Offset  int64  // in bytes
	Length  int64  // in bytes
	Err     error  // as the device returned it
}

func (o Options) withDefaults() Options {
	setDefault(&o.MaxConnections, DefaultMaxConnections)
	setDefault(&o.Workers, DefaultWorkers)
	setDefault(&o.ConnMemory, DefaultConnMemory)
	setDefault(&o.Memory, DefaultMemory)
	setDefault(&o.HandshakeTimeout, DefaultHandshakeTimeout)
	setDefault(&o.TransferTimeout, DefaultTransferTimeout)
	// One largest request must always fit, or it would wait for ever.
	o.ConnMemory = max(o.ConnMemory, MaxPayload+replyRoom)
	o.Memory = max(o.Memory, o.ConnMemory)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T int | int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}
