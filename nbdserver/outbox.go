package nbdserver

import (
	"errors"
	"net"
	"sync"
	"time"
)

// maxGather is how many replies are sent by one writev(2) at most.
const maxGather = 64

// An outbox sends replies, whole and one after the other. Whoever brings a
// reply while nobody is sending becomes the sender and also sends what others
// bring meanwhile; they do not wait. There is no goroutine for it to be handed
// to, and replies that come in fast leave together.
type outbox struct {
	to      net.Conn
	sock    *socket       // takes the place of to, if not nil
	timeout time.Duration // that a client has to accept a batch
	sent    func(*request)

	mu      sync.Mutex
	queue   []*request
	sending bool
	err     error // the first failure; everything later is dropped

	// Owned by the sender.
	batch    []*request
	gather   [][]byte
	vec      net.Buffers
	deadline time.Time
}

// send queues q.out and returns when q is sent or somebody else will send it.
// The outbox calls sent(q) when it is done with q, sent or not.
func (o *outbox) send(q *request) {
	o.mu.Lock()
	o.queue = append(o.queue, q)
	if o.sending {
		o.mu.Unlock()
		return
	}
	o.sending = true
	for len(o.queue) > 0 {
		n := min(len(o.queue), maxGather)
		o.batch = append(o.batch[:0], o.queue[:n]...)
		rest := copy(o.queue, o.queue[n:])
		clear(o.queue[rest:])
		o.queue = o.queue[:rest]
		err := o.err
		o.mu.Unlock()
		if err == nil {
			err = o.write()
		}
		for i, q := range o.batch {
			o.batch[i] = nil
			o.sent(q)
		}
		o.mu.Lock()
		if o.err == nil && err != nil {
			o.err = err
			// The stream may be cut inside a reply: nothing can follow.
			o.to.Close()
			if o.sock != nil {
				o.sock.cut()
			}
		}
	}
	o.sending = false
	o.mu.Unlock()
}

// write sends o.batch.
func (o *outbox) write() error {
	// Moving the deadline at every write would cost more than the write of
	// a small reply; so a client has between one and two timeouts.
	if now := time.Now(); o.deadline.Sub(now) < o.timeout {
		o.deadline = now.Add(2 * o.timeout)
		if err := o.setDeadline(); err != nil {
			return err
		}
	}
	o.gather = o.gather[:0]
	for _, q := range o.batch {
		o.gather = append(o.gather, q.out)
		if q.file.Length == 0 {
			continue
		}
		if err := o.writeGathered(); err != nil {
			return err
		}
		if err := o.sock.sendFile(q.file); err != nil {
			return err
		}
	}
	return o.writeGathered()
}

func (o *outbox) writeGathered() error {
	var err error
	switch {
	case o.sock != nil:
		err = o.sock.write(o.gather)
	case len(o.gather) == 1:
		_, err = o.to.Write(o.gather[0])
	case len(o.gather) > 1:
		o.vec = o.gather
		_, err = o.vec.WriteTo(o.to)
	}
	clear(o.gather)
	o.gather = o.gather[:0]
	return err
}

func (o *outbox) setDeadline() error {
	if o.sock != nil {
		return o.sock.SetWriteDeadline(o.deadline)
	}
	return o.to.SetWriteDeadline(o.deadline)
}

// failure is why nothing is sent any more, or nil.
func (o *outbox) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if errors.Is(o.err, net.ErrClosed) {
		return nil // closed from our side, which has its own reason
	}
	return o.err
}
