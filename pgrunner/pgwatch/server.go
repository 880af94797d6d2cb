package pgwatch

import (
	"errors"
	"time"
)

// answer is what has come for the head of the queue so far.
type answer struct {
	bytes, rows int64 // rows since the last command
	last        time.Time

	commands int
	total    int64 // rows of its commands
	state    string
	failure  string

	calls *Statement // function calls that may go on
}

// maxError is how much of an error is read.
const maxError = 16 << 10

func serverRule(typ byte, _ int64) (rule, error) {
	switch typ {
	case 'R':
		return rule{raw: 4}, nil
	case 'S':
		return rule{texts: []int{maxName, 1 << 10}}, nil
	case 'C':
		return rule{texts: []int{100}}, nil
	case 'E':
		return rule{raw: maxError}, nil
	case 'Z':
		return rule{raw: 1}, nil
	}
	return rule{}, nil
}

// Server reads what the server sent, before it is passed on. After an error the
// connection must be cut.
func (w *Watch) Server(p []byte) error {
	if w.blind {
		return nil
	}
	if !w.talking {
		var err error
		if p, err = w.declined(p); err != nil {
			return err
		}
	}
	err := w.server.feed(p)
	if errors.Is(err, errFraming) {
		// A server that could not even fork says so in the words of protocol 2.
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.authed {
			w.blind = true
			return nil
		}
	}
	return err
}

// declined reads the letters that answer requests to encrypt, which come before
// all messages. On a unix socket PostgreSQL always declines.
func (w *Watch) declined(p []byte) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(p) > 0 && w.encryption > 0 {
		switch p[0] {
		case 'N':
			w.encryption--
			p = p[1:]
		case 'E': // an error in place of an answer
			w.encryption = 0
		default:
			return nil, errEncrypted
		}
	}
	w.talking = len(p) > 0
	return p, nil
}

func (w *Watch) serverMessage() error {
	f, a := &w.server, &w.answer
	a.bytes += f.size
	switch f.typ {
	case 'D':
		a.rows++
		return nil
	case 'd', 'T', 't', 'n', 'N', 'A', 'H', 'c':
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.room.Signal()
	return w.answered(f.typ)
}

// answered reads a message that changes something; w.mu is held.
func (w *Watch) answered(typ byte) error {
	f, a := &w.server, &w.answer
	switch typ {
	case 'R':
		w.authed = w.authed || string(f.raw) == "\x00\x00\x00\x00"
	case 'S':
		a.bytes -= f.size // not part of an answer
		if string(f.text[0]) == "application_name" {
			w.application = string(f.text[1])
		}
	case '1', '2', '3':
		return w.named(typ)
	case 'G', 'W':
		return w.beginCopy()
	case 'C', 'I', 's':
		return w.completed(typ, string(f.text[0]))
	case 'V':
		if it := w.expect(function); it == nil {
			return errLost
		}
		a.commands++
	case 'E':
		return w.failed()
	case 'Z':
		return w.readyForQuery()
	}
	return nil
}

// expect returns the head of the queue if it is of one of these kinds. A Sync
// before it is one that the server ignored, in a COPY that failed at once.
func (w *Watch) expect(kinds ...itemKind) *item {
	for it := w.head(); it != nil; it = w.head() {
		for _, k := range kinds {
			if it.kind == k {
				return it
			}
		}
		if it.kind != syncPoint {
			return nil
		}
		w.pop()
	}
	return nil
}

// named lets a name take effect that the server has accepted.
func (w *Watch) named(typ byte) error {
	it := w.expect(map[byte]itemKind{'1': parse, '2': bind, '3': closeName}[typ])
	if it == nil {
		return errLost
	}
	done := w.pop()
	switch done.kind {
	case parse:
		return w.set(w.statements, done.name, done.text)
	case bind:
		return w.set(w.portals, done.portal, textOf(w.statements, "prepared statement", done.name))
	case closeName:
		kind, name := done.name[:min(1, len(done.name))], done.name[min(1, len(done.name)):]
		if kind == "S" {
			w.forgetName(w.statements, name)
		} else {
			w.forgetName(w.portals, name)
		}
	}
	return nil
}

// beginCopy: the server reads a COPY's data now, and ignores Syncs until its end.
func (w *Watch) beginCopy() error {
	it := w.expect(execute, query)
	if it == nil {
		return errLost
	}
	current := w.pop()
	for w.waiting() > 0 && w.items[w.first].kind == syncPoint {
		w.pop()
	}
	switch {
	case w.waiting() == 0:
		w.copyIn = true
	case w.items[w.first].kind == copyEnd: // sent ahead
		w.pop()
	default:
		return errCopy
	}
	rest := append([]item{current}, w.items[w.first:]...)
	w.items, w.first = rest, 0
	w.held += len(current.text)
	return nil
}

func (w *Watch) completed(typ byte, tag string) error {
	it := w.expect(query, execute)
	if it == nil {
		return errLost
	}
	a := &w.answer
	rows := a.rows
	if typ == 'C' {
		if n, ok := rowsOf(tag); ok {
			rows = n
		}
		w.afterCommand(tag)
	}
	if typ != 'I' {
		a.commands++
	}
	a.total += rows
	a.rows = 0
	if it.kind == execute {
		w.finish()
	}
	return nil
}

func (w *Watch) failed() error {
	a := &w.answer
	it := w.head()
	if it == nil || !w.authed {
		return nil // about the connection: its end is near
	}
	a.state, a.failure = errorOf(w.server.raw)
	w.copyIn = false
	switch it.kind {
	case query, function:
		// ReadyForQuery follows, or the end.
	case syncPoint:
		st := w.statement(it)
		st.SQL = "(end of an implicit transaction)"
		w.emit(st)
		w.nextAnswer()
	default:
		w.finish()
		w.skip()
	}
	return nil
}

func (w *Watch) readyForQuery() error {
	w.answer.bytes -= w.server.size
	if string(w.server.raw) == "I" {
		w.forgetAll(w.portals) // they end with their transaction
	}
	if !w.ready {
		w.ready = true
		w.nextAnswer() // what came before was about the login
		return nil
	}
	switch it := w.head(); {
	case it == nil:
		w.skipping = false
	case it.kind == query || it.kind == function:
		w.finish()
	case it.kind == syncPoint:
		w.pop()
	}
	return nil
}

// statement is the head of the queue with its answer so far.
func (w *Watch) statement(it *item) Statement {
	a := &w.answer
	st := Statement{
		Time: it.at, Role: w.role, Database: w.database, Application: w.application, Kind: KindQuery,
		SQL: it.text, Commands: a.commands, Rows: a.total + a.rows, Bytes: a.bytes, BytesIn: w.copied,
		SQLState: a.state, Failure: a.failure,
	}
	if a.last.After(it.at) {
		st.Time = a.last // it had to wait
	}
	st.Took = time.Since(st.Time)
	switch it.kind {
	case function:
		st.Kind = KindFunction
	case bind:
		st.SQL = textOf(w.statements, "prepared statement", it.name)
	case execute:
		st.SQL = textOf(w.portals, "portal", it.portal)
	case closeName:
		st.SQL = "(closing a name)"
	}
	return st
}

// finish reports the head of the queue.
func (w *Watch) finish() {
	it := w.pop()
	st := w.statement(&it)
	w.nextAnswer()
	if st.Kind != KindFunction || st.Failure != "" {
		w.emit(st)
		return
	}
	// A large object is read by a call for every 8 KiB.
	if c := w.answer.calls; c != nil && c.SQL == st.SQL && st.Time.Sub(c.Time) < callsTogether {
		c.Commands += st.Commands
		c.Bytes += st.Bytes
		c.Took = st.Time.Add(st.Took).Sub(c.Time)
		return
	}
	w.flushCalls()
	w.answer.calls = &st
}

// callsTogether is how long function calls are put together at most.
const callsTogether = 10 * time.Second

func (w *Watch) flushCalls() {
	if c := w.answer.calls; c != nil {
		w.answer.calls = nil
		w.report(*c)
	}
}

func (w *Watch) emit(st Statement) {
	w.flushCalls()
	w.report(st)
}

// nextAnswer begins to count for the next item.
func (w *Watch) nextAnswer() {
	w.answer = answer{last: time.Now(), calls: w.answer.calls}
	w.copied = 0
}
