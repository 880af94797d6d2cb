package attach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/snapview/snapview/block"
)

// Method names a way to give the kernel a block device.
type Method string

const (
	// Auto takes NBD where the kernel has it, else FUSE.
	Auto Method = "auto"
	// NBD is the kernel's NBD client on our server's unix socket.
	NBD Method = "nbd"
	// FUSE is a loop device on a file that this process serves by FUSE.
	FUSE Method = "fuse"
)

// ParseMethod reads a method as a person writes it.
func ParseMethod(s string) (Method, error) {
	switch m := Method(s); m {
	case Auto, NBD, FUSE:
		return m, nil
	}
	return "", fmt.Errorf("unknown attach method %q: use auto, nbd or fuse", s)
}

// ErrUnsupported marks errors that say that this host, or this user, cannot
// attach in the way that was asked for. The message says what is missing.
var ErrUnsupported = errors.New("not supported here")

// Defaults of the fields of Config that are left zero.
const (
	DefaultReadAhead      = 128 << 10
	DefaultPrefetchWindow = 8 << 20
	DefaultNBDConnections = 4
	DefaultNBDTimeout     = 5 * time.Minute
)

// Config says what to attach and how.
type Config struct {
	// Dir is a directory for this attachment alone. It is made, with mode
	// 0711 (the mount below it must be reachable for an unprivileged
	// server), when it is absent; a directory made by Attach is removed by
	// Detach. Its parent must exist. The mount point is Dir/mnt; in fuse mode the file is served
	// in Dir/fuse, which only root may enter.
	Dir string

	// Device is what becomes the disk. It must hold an ext4 file system. It
	// is used by the fuse method, and must stay open until Detach returned;
	// Attach never closes it. The nbd method reads it only for its size,
	// since the caller serves it at NBDSocket. Sequential makes it read
	// ahead, for either method.
	Device block.Device

	// Method is Auto when empty.
	Method Method

	// NBDSocket is the unix socket on which the caller serves Device, and
	// NBDExport the name of the export. Auto without a socket means FUSE.
	NBDSocket string
	NBDExport string
	// NBDConnections is how many sockets the kernel gets when the server
	// allows several. NBDTimeout is how long the kernel waits for an answer
	// before it gives a connection up and tries the next; when all are
	// given up, requests fail with EIO. It is rounded up to seconds;
	// negative means a week. It must be longer than the Device ever holds
	// writes back, or they are lost. That a server has closed its socket
	// the kernel notices at once, but for requests that were under way.
	NBDConnections int
	NBDTimeout     time.Duration

	// ReadAheadBytes is the block device's read-ahead; see SetReadAhead.
	// Negative switches read-ahead off.
	ReadAheadBytes int64

	// ReadOnly mounts read-only, on a read-only block device.
	ReadOnly bool

	// Record, when not nil, is called with each resource before it is taken
	// (Wanted), when its details are known (Held), and when it is given back
	// (Released). An error from it before or after taking aborts Attach.
	Record func(Resource) error

	// Logger gets what is worth knowing but no error; nil discards it.
	Logger *slog.Logger
}

// Attach makes cfg.Device a block device and mounts its file system. When it
// fails, everything it took is given back; what could not be is in the error.
// The context bounds the attempt, not the life of the attachment.
//
// It needs root. Stop whatever uses the mount before Detach.
func Attach(ctx context.Context, cfg Config) (*Attachment, error) {
	return attach(ctx, cfg)
}
