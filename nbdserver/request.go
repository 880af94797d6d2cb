package nbdserver

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/pojntfx/go-nbd/pkg/protocol"

	"github.com/snapview/snapview/block"
)

// A request is one command of a client, and later its reply. Requests that
// workers execute are pooled.
type request struct {
	cmd    uint16
	flags  uint16
	cookie uint64 // the client's name for it ("handle")
	off    int64  // in bytes; negative if the client's was past 2^63
	n      int64  // in bytes

	errno uint32          // not 0: refused before it reaches the device
	buf   *buffer         // payload of a WRITE; data of a READ; nil if none
	grant grant           // of the connection's budget
	out   []byte          // the encoded reply; points into buf or small
	file  block.FileRange // sent after out, if its Length is not 0
	small [64]byte
	done  chan struct{} // not nil: closed when out has been sent
}

var requestPool = sync.Pool{New: func() any { return new(request) }}

// parseRequest decodes the header in b, which is protocol's
// TransmissionRequestHeader of requestSize bytes in network order. It fails
// only when the stream cannot be trusted any more.
func parseRequest(b []byte, q *request) error {
	_ = b[requestSize-1]
	h := protocol.TransmissionRequestHeader{
		RequestMagic: binary.BigEndian.Uint32(b[0:]),
		CommandFlags: binary.BigEndian.Uint16(b[4:]),
		Type:         binary.BigEndian.Uint16(b[6:]),
		Handle:       binary.BigEndian.Uint64(b[8:]),
		Offset:       binary.BigEndian.Uint64(b[16:]),
		Length:       binary.BigEndian.Uint32(b[24:]),
	}
	if h.RequestMagic != protocol.TRANSMISSION_MAGIC_REQUEST {
		return fmt.Errorf("nbd: request magic is %#x, not %#x", h.RequestMagic, protocol.TRANSMISSION_MAGIC_REQUEST)
	}
	q.cmd, q.flags, q.cookie = h.Type, h.CommandFlags, h.Handle
	q.off, q.n = int64(h.Offset), int64(h.Length)
	return nil
}

// payload is how many bytes follow the header on the wire.
func (q *request) payload() int64 {
	if q.cmd == protocol.TRANSMISSION_TYPE_REQUEST_WRITE {
		return q.n
	}
	return 0
}

// changes reports whether the command may be held for long by the device's
// writers (FLUSH waits for them too).
func (q *request) changes() bool {
	switch q.cmd {
	case protocol.TRANSMISSION_TYPE_REQUEST_WRITE, cmdFlush, cmdTrim, cmdWriteZeroes:
		return true
	}
	return false
}

// kind is 1 for commands that change and 0 for those that read.
func (q *request) kind() int {
	if q.changes() {
		return 1
	}
	return 0
}

// validate returns the error with which the request is refused, or 0.
func (c *conn) validate(q *request) uint32 {
	const einval = protocol.TRANSMISSION_ERROR_EINVAL
	x := c.exp.Load()
	allowed := cmdFlagFUA // permitted on every command; without effect on those that write nothing
	switch q.cmd {
	case protocol.TRANSMISSION_TYPE_REQUEST_READ:
		if c.structured {
			allowed |= cmdFlagDF
		}
	case protocol.TRANSMISSION_TYPE_REQUEST_WRITE, cmdTrim, cmdCache:
	case cmdFlush:
		// Offset and length are reserved, to be 0; nothing depends on them.
		if q.flags&^allowed != 0 || q.off != 0 || q.n != 0 {
			return einval
		}
		return 0
	case cmdWriteZeroes:
		allowed |= cmdFlagNoHole | cmdFlagFastZero
	case cmdBlockStatus:
		allowed |= cmdFlagReqOne
		if len(c.contexts) == 0 || q.n == 0 {
			return einval
		}
	default:
		return einval
	}
	if q.flags&^allowed != 0 {
		return einval
	}
	changes := q.changes()
	if changes && x.dev == nil {
		return protocol.TRANSMISSION_ERROR_EPERM
	}
	if q.off < 0 || q.off > x.size || q.n > x.size-q.off {
		if changes && q.cmd != cmdTrim {
			return errnoNoSpace
		}
		return einval
	}
	if q.n > MaxPayload && (q.cmd == protocol.TRANSMISSION_TYPE_REQUEST_READ || q.cmd == protocol.TRANSMISSION_TYPE_REQUEST_WRITE) {
		return einval
	}
	if c.srv.draining.Load() {
		return errnoShutdown
	}
	return 0
}

// commandName is the command's name in Faults and logs.
func commandName(cmd uint16) string {
	switch cmd {
	case protocol.TRANSMISSION_TYPE_REQUEST_READ:
		return "READ"
	case protocol.TRANSMISSION_TYPE_REQUEST_WRITE:
		return "WRITE"
	case cmdFlush:
		return "FLUSH"
	case cmdTrim:
		return "TRIM"
	case cmdCache:
		return "CACHE"
	case cmdWriteZeroes:
		return "WRITE_ZEROES"
	case cmdBlockStatus:
		return "BLOCK_STATUS"
	}
	return fmt.Sprintf("command %d", cmd)
}
