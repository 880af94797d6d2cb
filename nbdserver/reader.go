package nbdserver

import (
	"errors"
	"time"

	"github.com/pojntfx/go-nbd/pkg/protocol"
)

const (
	// inputSize is how much of a client's stream is read at once, in bytes:
	// some thirty pipelined WRITEs of 4 KiB.
	inputSize = 128 << 10
	// batchEnough is how many bytes of replies are gathered before they are
	// sent although more requests are waiting: enough to make the system
	// call cheap, and the client has something to do meanwhile.
	batchEnough = 64 << 10
	batchSize   = batchEnough + inlineMax + 4<<10
	// inlineMax is the largest request in bytes that the reader executes
	// itself while others are waiting behind it.
	inlineMax = 64 << 10
	// directMin is the shortest WRITE in bytes whose payload is read straight
	// into a buffer of its own. After one, only the header of the next
	// request is read, lest its payload be copied: two system calls for each
	// cost less than that.
	directMin = 64 << 10
	// heldMax is how many replies to such WRITEs are sent together, unless the
	// client has nothing more to say.
	heldMax = 2
	// inlineSlow is how long an operation may take (and a microsecond more
	// for every KiB) before the reader leaves the next inlineBackoff ones to
	// the workers.
	inlineSlow    = 150 * time.Microsecond
	inlineBackoff = 32
	// requestMemory is what a request without payload counts in the budget.
	requestMemory = 256
)

// A reader holds what belongs to the role of reading a connection's requests.
// One goroutine at a time has the role.
type reader struct {
	c        *conn
	in       []byte // in[r:w] was read and not used yet
	r, w     int
	batch    []byte    // replies not sent yet
	reply    request   // how the batch goes through the outbox
	backoff  int       // requests to leave to the workers
	kind     int       // of the request being executed, see conn.stuck
	now      time.Time // the last look at the clock
	deadline time.Time // for reading, as last set
	probe    [1][]byte // one byte, see cached
	ahead    int       // how much to read at once while waiting for a request
	held     int       // replies to long WRITEs in the batch
	send     func()    // flush, made once
}

func newReader(c *conn) *reader {
	rd := &reader{c: c, ahead: inputSize, in: make([]byte, inputSize), reply: request{done: make(chan struct{}, 1)}, probe: [1][]byte{make([]byte, 1)}}
	rd.send = rd.flush
	return rd
}

// read takes requests from the client until the connection ends or the
// goroutine is relieved of the role.
func (c *conn) read(rd *reader) {
	if rd.batch == nil {
		rd.batch = make([]byte, 0, batchSize)
	}
	for {
		relieved, err := rd.next()
		if relieved {
			return
		}
		if err != nil {
			rd.flush()
			if errors.Is(err, errGoodbye) || goneQuietly(err) {
				err = nil
			}
			c.end(err)
			return
		}
	}
}

// relieve takes the role away from the goroutine that is stuck in the turn v
// and gives it to a new one. Only the watcher calls it.
func (c *conn) relieve(v uint64) {
	// Its request counts by itself from now on; the role's one passes on. The
	// count comes first: once the turn has ended, the stuck goroutine may come
	// back at any time and end its request.
	if !c.join() {
		return // the connection is over
	}
	if !c.turn.end(v) {
		c.finish()
		return // it came back just now
	}
	if hook := c.srv.watch.relieved; hook != nil {
		hook(c)
	}
	// From here on the stuck goroutine touches only its own reply, which
	// lies behind old.batch, and the payload before old.r.
	old := c.current
	c.stuck[old.kind].Add(1)
	rd := newReader(c)
	rd.w = copy(rd.in, old.in[old.r:old.w])
	rd.batch = append(make([]byte, 0, batchSize), old.batch...)
	rd.backoff = inlineBackoff
	rd.deadline = old.deadline
	go func() {
		rd.flush()
		c.read(rd)
	}()
}

// next takes one request and answers it or hands it on. relieved means that
// the goroutine has lost the role and must not touch rd again.
func (rd *reader) next() (relieved bool, err error) {
	if err := rd.need(requestSize, waitRequest); err != nil {
		return false, err
	}
	var q request
	if err := parseRequest(rd.in[rd.r:], &q); err != nil {
		return false, err
	}
	rd.r += requestSize
	if q.cmd == protocol.TRANSMISSION_TYPE_REQUEST_DISC {
		return false, errGoodbye
	}
	if errno := rd.c.validate(&q); errno != 0 {
		if err := rd.discard(q.payload()); err != nil {
			return false, err
		}
		return false, rd.refuse(&q, errno)
	}
	if rd.backoff > 0 {
		rd.backoff--
	}
	rd.ahead = inputSize
	if q.payload() >= directMin {
		rd.ahead = requestSize
	}
	if q.cmd == protocol.TRANSMISSION_TYPE_REQUEST_READ && q.n >= spliceMin && rd.c.splice && rd.splice(&q) {
		return false, nil
	}
	data := q.cmd == protocol.TRANSMISSION_TYPE_REQUEST_READ || q.cmd == protocol.TRANSMISSION_TYPE_REQUEST_WRITE
	if data && q.n <= inlineMax && q.payload() < directMin && q.flags&cmdFlagFUA == 0 {
		if err := rd.need(int(q.payload()), waitPayload); err != nil {
			return false, err
		}
		if rd.quick(&q) || rd.alone(int(q.payload())) {
			return rd.inline(&q), nil
		}
	}
	return rd.hand(&q)
}

// quick reports whether the reader may execute q although others wait behind
// it: the device has not been slow lately.
func (rd *reader) quick(q *request) bool {
	return rd.backoff == 0 && rd.c.stuck[q.kind()].Load() == 0
}

// alone reports whether the client waits for nothing but the request at hand,
// of which n more bytes are in the input buffer.
func (rd *reader) alone(n int) bool {
	return rd.w-rd.r == n && rd.c.pending.Load() == 1
}

// refuse answers q with an error.
func (rd *reader) refuse(q *request, errno uint32) error {
	if cap(rd.batch)-len(rd.batch) < len(q.small) {
		rd.flush()
	}
	rd.batch = rd.c.appendReply(rd.batch, q.cmd, errno, q.cookie)
	return nil
}

// inline executes a small READ or WRITE whose payload is in the input buffer.
func (rd *reader) inline(q *request) (relieved bool) {
	c, x := rd.c, rd.c.exp.Load()
	if cap(rd.batch)-len(rd.batch) < replyRoom+int(q.n)+len(q.small) {
		rd.flush()
	}
	payload := rd.in[rd.r : rd.r+int(q.payload())]
	rd.r += len(payload)
	room := rd.batch[len(rd.batch):cap(rd.batch)]

	kind := q.kind()
	v := rd.begin(kind)
	var reply []byte
	var errno uint32
	if q.cmd == protocol.TRANSMISSION_TYPE_REQUEST_READ {
		reply = c.appendReadHeader(room[:0], q.cookie, q.off, q.n)
		reply = reply[:len(reply)+int(q.n)]
		errno = x.read(reply[len(reply)-int(q.n):], q.off)
	} else {
		errno = x.write(payload, q.off, false)
	}
	if errno != 0 || q.cmd != protocol.TRANSMISSION_TYPE_REQUEST_READ {
		reply = c.appendReply(room[:0], q.cmd, errno, q.cookie)
	}
	if !c.turn.end(v) {
		c.stuck[kind].Add(-1)
		late := requestPool.Get().(*request)
		late.out = reply
		c.out.send(late)
		return true
	}
	rd.batch = rd.batch[:len(rd.batch)+len(reply)]
	rd.judge(q.n)
	if len(rd.batch) >= batchEnough {
		rd.flush()
	}
	return false
}

// begin begins a turn in which the goroutine may be relieved.
func (rd *reader) begin(kind int) uint64 {
	rd.c.current, rd.kind = rd, kind
	v := rd.c.turn.begin()
	rd.c.srv.watch.rouse()
	return v
}

// judge looks how long the turn for n bytes took.
func (rd *reader) judge(n int64) {
	now := time.Now()
	if now.Sub(rd.now) > inlineSlow+time.Duration(n>>10)*time.Microsecond {
		rd.backoff = inlineBackoff
	}
	rd.now = now
}

// hand gives q to a worker, with its payload, when there is memory for it. If
// the client waits for nothing else, the reader is the worker, and also for
// long WRITEs to a device that is quick: a hand-over costs as much as copying
// 64 KiB, and finds the payload in another processor's cache.
func (rd *reader) hand(parsed *request) (relieved bool, err error) {
	c := rd.c
	q := requestPool.Get().(*request)
	q.cmd, q.flags, q.cookie, q.off, q.n = parsed.cmd, parsed.flags, parsed.cookie, parsed.off, parsed.n
	payload, need := int64(-1), int64(requestMemory)
	switch q.cmd {
	case protocol.TRANSMISSION_TYPE_REQUEST_READ, protocol.TRANSMISSION_TYPE_REQUEST_WRITE:
		payload = q.n
	case cmdBlockStatus:
		payload = c.statusMemory()
	}
	if payload >= 0 {
		need = bufferMemory(payload)
	}
	g, ok := c.mem.tryAcquire(need)
	if !ok {
		rd.flush()
		if g, err = c.mem.acquire(c.ctx, need); err != nil {
			return false, err
		}
	}
	q.grant = g
	if payload >= 0 {
		q.buf = getBuffer(payload)
	}
	c.pending.Add(1)
	if n := q.payload(); n > 0 {
		k := copy(q.buf.b[:n], rd.in[rd.r:rd.w])
		rd.r += k
		if err := rd.readFull(q.buf.b[k:n]); err != nil {
			c.sent(q) // gives everything back; the connection ends
			return false, err
		}
	}
	team := c.reading
	if q.changes() {
		team = c.changing
	}
	direct := q.payload() >= directMin && q.flags&cmdFlagFUA == 0 && rd.quick(q)
	if direct || (rd.w == rd.r && c.pending.Load() == 2) {
		if !direct {
			rd.flush()
		}
		rd.now = time.Now() // waiting for the payload was not the device's time
		kind, n := q.kind(), q.n
		v := rd.begin(kind)
		c.execute(q)
		if relieved = !c.turn.end(v); relieved {
			c.stuck[kind].Add(-1)
			c.pending.Add(-1) // counted here and by relieve
		}
		if direct && !relieved {
			rd.judge(n)
			rd.hold(q)
		} else {
			c.out.send(q)
		}
		return relieved, nil
	}
	if team.full() {
		rd.flush()
	}
	team.submit(q)
	return false, nil
}

// hold puts the reply of a long WRITE into the batch. heldMax of them are sent
// together: the client is not kept waiting, but is woken up less often.
func (rd *reader) hold(q *request) {
	if cap(rd.batch)-len(rd.batch) < len(q.out) {
		rd.flush()
	}
	rd.batch = append(rd.batch, q.out...)
	rd.c.sent(q)
	if rd.held++; rd.held == heldMax {
		rd.flush()
	}
}

// flush sends the batch and returns when it is sent. A failure closes the
// connection, which the next read notices.
func (rd *reader) flush() {
	if len(rd.batch) == 0 {
		return
	}
	rd.reply.out = rd.batch
	rd.c.out.send(&rd.reply)
	<-rd.reply.done
	rd.reply.out = nil
	rd.batch, rd.held = rd.batch[:0], 0
	rd.now = time.Now() // sending is not the device's time
}
