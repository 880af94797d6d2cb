package nbdserver

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// What a read from the client waits for, which decides about deadlines.
type wait int

const (
	waitOption  wait = iota // handshake: one deadline for all of it
	waitRequest             // the client may take its time
	waitPayload             // it may not
)

// need returns when at least n bytes, at most inputSize, are in the input
// buffer. It sends the batch before it waits.
func (rd *reader) need(n int, what wait) error {
	if rd.w-rd.r >= n {
		return nil
	}
	if rd.held == 0 {
		rd.flush()
	}
	if rd.r == rd.w {
		rd.r, rd.w = 0, 0
	} else if rd.r+n > len(rd.in) {
		rd.w = copy(rd.in, rd.in[rd.r:rd.w])
		rd.r = 0
	}
	end := len(rd.in)
	if what == waitRequest {
		end = min(end, rd.r+max(n, rd.ahead))
	}
	for rd.w-rd.r < n {
		k, err := rd.readSome(rd.in[rd.w:end], what)
		rd.w += k
		if err != nil {
			if errors.Is(err, io.EOF) && (rd.w > rd.r || what == waitPayload) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	rd.now = time.Now()
	return nil
}

// readFull reads the rest of a payload past the input buffer. It sends the batch
// before it waits.
func (rd *reader) readFull(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	for len(p) > 0 {
		k, err := rd.readSome(p, waitPayload)
		p = p[k:]
		if err != nil && len(p) > 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// readSome reads at least a byte, or fails.
func (rd *reader) readSome(p []byte, what wait) (int, error) {
	c := rd.c
	for extended := false; ; {
		if what == waitPayload {
			if err := rd.arm(); err != nil {
				return 0, err
			}
		}
		if what == waitRequest && c.srv.draining.Load() && c.pending.Load() == 1 {
			return 0, errGoodbye
		}
		k, err := c.recv(p, rd.send)
		if k > 0 {
			return k, nil
		}
		switch {
		case err == nil:
		case !isTimeout(err):
			return 0, err
		case what == waitOption:
			return 0, errors.New("client did not finish the negotiation in time")
		case what == waitPayload:
			if extended || !c.srv.draining.Load() {
				return 0, fmt.Errorf("client did not send the data of its WRITE within %v", c.srv.opts.TransferTimeout)
			}
			// It was the wake-up call of drain.
			extended = true
			rd.deadline = time.Time{}
		default:
			// A payload's deadline that is still set, or a wake-up
			// call. Cleared before the checks above, so that none is
			// lost.
			rd.deadline = time.Time{}
			if err := c.setReadDeadline(time.Time{}); err != nil {
				return 0, err
			}
		}
	}
}

// arm sets a deadline for reading unless there is one far enough ahead: it
// costs more than reading a small payload. So clients have between one and
// two timeouts.
func (rd *reader) arm() error {
	now := time.Now()
	timeout := rd.c.srv.opts.TransferTimeout
	if rd.deadline.Sub(now) >= timeout {
		return nil
	}
	rd.deadline = now.Add(2 * timeout)
	return rd.c.setReadDeadline(rd.deadline)
}

// discard drops the payload of a request that was refused.
func (rd *reader) discard(n int64) error {
	if n > 2*MaxPayload {
		return fmt.Errorf("nbd: WRITE of %d bytes, %d are allowed: not waiting for them", n, MaxPayload)
	}
	k := min(n, int64(rd.w-rd.r))
	rd.r += int(k)
	for n -= k; n > 0; n -= k {
		if err := rd.need(1, waitPayload); err != nil {
			return err
		}
		k = min(n, int64(rd.w-rd.r))
		rd.r += int(k)
	}
	return nil
}
