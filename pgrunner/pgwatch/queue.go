package pgwatch

import (
	"strings"
	"time"
)

// What the server has to answer.
type itemKind uint8

const (
	parse itemKind = iota + 1
	bind
	closeName
	execute
	query
	function
	syncPoint
	copyEnd // CopyDone or CopyFail, which is not answered by itself
)

// An item is a message of the client's that the server has not answered yet.
type item struct {
	kind   itemKind
	at     time.Time
	name   string // prepared statement; of a closeName with its letter before it
	portal string
	text   string
}

// queue holds them in the order in which they were sent. skipping: the server
// skips what comes until a Sync.
type queue struct {
	items    []item
	first    int
	held     int // bytes of texts, those of names among them
	skipping bool
}

func (q *queue) waiting() int { return len(q.items) - q.first }

func (q *queue) push(it item) {
	if q.first == len(q.items) {
		q.items, q.first = q.items[:0], 0
	} else if q.first > 1024 && q.first > len(q.items)/2 {
		n := copy(q.items, q.items[q.first:])
		clear(q.items[n:])
		q.items, q.first = q.items[:n], 0
	}
	q.items = append(q.items, it)
	q.held += len(it.text)
}

// head is what the server answers now, or nil.
func (q *queue) head() *item {
	for q.waiting() > 0 && q.items[q.first].kind == copyEnd {
		q.pop()
	}
	if q.waiting() == 0 {
		return nil
	}
	return &q.items[q.first]
}

func (q *queue) pop() item {
	it := q.items[q.first]
	q.items[q.first] = item{}
	q.first++
	q.held -= len(it.text)
	return it
}

// skip drops what the server skips after an error.
func (q *queue) skip() {
	for q.waiting() > 0 {
		if q.items[q.first].kind == syncPoint {
			return
		}
		q.pop()
	}
	q.skipping = true
}

// names are what prepared statements and portals stand for.
type names struct {
	statements, portals map[string]string
}

func newNames() names { return names{map[string]string{}, map[string]string{}} }

// maxName is how much of a name PostgreSQL tells apart (NAMEDATALEN - 1).
const maxName = 63

// set lets a name stand for a text, and keeps count of what is held.
func (w *Watch) set(in map[string]string, name, text string) error {
	w.forgetName(in, name)
	if len(in) >= maxNames {
		return errTooMuch
	}
	in[name] = text
	w.held += len(text)
	return nil
}

func (w *Watch) forgetName(in map[string]string, name string) {
	w.held -= len(in[name])
	delete(in, name)
}

func (w *Watch) forgetAll(in map[string]string) {
	for name := range in {
		w.forgetName(in, name)
	}
}

// textOf is what a name stands for. One that the protocol did not give was given
// by SQL, by PREPARE or DECLARE, which is on record as a statement.
func textOf(in map[string]string, what, name string) string {
	if text, ok := in[name]; ok {
		return text
	}
	return "(" + what + ` "` + name + `" of this connection)`
}

// doubted marks texts of names that SQL may have given to something else since.
const doubted = "-- or what SQL gave this name since\n"

// doubt marks every name but the empty one, which SQL cannot give away.
func (w *Watch) doubt(in map[string]string) {
	for name, text := range in {
		if name != "" && !strings.HasPrefix(text, doubted) {
			in[name] = doubted + text
			w.held += len(doubted)
		}
	}
}

// afterCommand keeps the names true to commands of SQL that change them.
func (w *Watch) afterCommand(tag string) {
	switch tag {
	case "PREPARE":
		w.doubt(w.statements)
	case "DECLARE CURSOR":
		w.doubt(w.portals)
	case "DEALLOCATE ALL", "DISCARD ALL":
		w.forgetAll(w.statements)
	}
}
