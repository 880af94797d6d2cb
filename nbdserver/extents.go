package nbdserver

import (
	"encoding/binary"
	"errors"

	"github.com/snapview/snapview/block"
)

// Metadata contexts, in the order of their ids (from 1).
const (
	contextAllocation = "base:allocation"
	contextOverlay    = "snapview:overlay"
)

// A metaContext is one a client has selected.
type metaContext struct {
	id     uint32
	name   string
	status func(block.ExtentState) uint32
}

// metaContexts returns those that x can answer.
func (x *export) metaContexts() []metaContext {
	all := []metaContext{{1, contextAllocation, allocationStatus}}
	if x.extents != nil {
		all = append(all, metaContext{2, contextOverlay, overlayStatus})
	}
	return all
}

func allocationStatus(s block.ExtentState) uint32 {
	if s&block.ExtentZero != 0 {
		return stateHole | stateZero
	}
	return 0
}

func overlayStatus(s block.ExtentState) uint32 {
	var v uint32
	if s&block.ExtentHeld != 0 {
		v |= overlayHeld
	}
	if s&block.ExtentZero != 0 {
		v |= overlayZero
	}
	return v
}

// maxDescriptors bounds one context's reply. A client that asks for more gets
// the beginning and asks again.
const maxDescriptors = 4096

// statusMemory is the buffer that a BLOCK_STATUS reply needs at most.
func (c *conn) statusMemory() int64 {
	return int64(len(c.contexts)) * (structuredReplySize + 4 + 8*maxDescriptors)
}

// blockStatus encodes the reply to BLOCK_STATUS, one chunk for each selected
// context, in q.out.
func (c *conn) blockStatus(x *export, q *request) uint32 {
	limit := maxDescriptors
	if q.flags&cmdFlagReqOne != 0 {
		limit = 1
	}
	b := q.buf.b[:0]
	for i, ctx := range c.contexts {
		var flags uint16
		if i == len(c.contexts)-1 {
			flags = replyFlagDone
		}
		start := len(b)
		b = appendChunk(b, flags, replyBlockStatus, q.cookie, 0)
		b = binary.BigEndian.AppendUint32(b, ctx.id)
		var err error
		if b, err = x.appendDescriptors(b, q.off, q.n, limit, ctx.status); err != nil {
			return x.failed(q.cmd, q.off, q.n, err)
		}
		binary.BigEndian.PutUint32(b[start+structuredReplySize-4:], uint32(len(b)-start-structuredReplySize))
	}
	x.stats.others.Add(1)
	q.out = b
	return 0
}

var errNoExtents = errors.New("the device reported no extents")

// appendDescriptors appends up to limit (length, status) pairs that cover the
// n bytes at off from their beginning, neighbours of equal status merged.
func (x *export) appendDescriptors(b []byte, off, n int64, limit int, status func(block.ExtentState) uint32) ([]byte, error) {
	if x.extents == nil {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		return binary.BigEndian.AppendUint32(b, status(0)), nil
	}
	var (
		pos     = off // end of what was reported
		end     = off + n
		run     int64 // length and status of the descriptor being merged
		current uint32
		written int
	)
	emit := func() {
		b = binary.BigEndian.AppendUint32(b, uint32(run))
		b = binary.BigEndian.AppendUint32(b, current)
		written++
	}
	err := x.extents.Extents(off, n, func(e block.Extent) bool {
		until := min(e.Offset+e.Length, end)
		if e.Offset > pos || until <= pos {
			return until <= pos // a gap ends the answer; an empty extent adds nothing
		}
		v := status(e.State)
		if run > 0 && v != current {
			emit()
			run = 0
			if written == limit {
				return false
			}
		}
		current = v
		run += until - pos
		pos = until
		return pos < end
	})
	if err != nil {
		return nil, err
	}
	if run > 0 {
		emit()
	}
	if written == 0 {
		return nil, errNoExtents
	}
	return b, nil
}

// allZero reports whether the n bytes at off are known to be zeros. It gives
// up early on anything else.
func (x *export) allZero(off, n int64) bool {
	if x.extents == nil || n == 0 {
		return false
	}
	pos, zero := off, true
	err := x.extents.Extents(off, n, func(e block.Extent) bool {
		zero = e.Offset <= pos && e.State&block.ExtentZero != 0
		pos = e.Offset + e.Length
		return zero && pos < off+n
	})
	return err == nil && zero && pos >= off+n
}
