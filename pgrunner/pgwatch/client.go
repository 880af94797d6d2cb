package pgwatch

import (
	"bytes"
	"encoding/binary"
	"time"
)

// Codes in the place of a protocol's number (PostgreSQL's pqcomm.h).
const (
	codeCancel = 1234<<16 | 5678
	codeSSL    = 1234<<16 | 5679
	codeGSSEnc = 1234<<16 | 5680
	protocol3  = 3
)

// maxStartup is PostgreSQL's own limit on a startup packet.
const maxStartup = 10_000

// maxTextBytes is how many bytes MaxText characters can have.
const maxTextBytes = MaxText * 4

// clientRule: what is kept of a client's message. Passwords ('p') are not.
func (w *Watch) clientRule(typ byte, body int64) (rule, error) {
	if !w.client.typed {
		if body > maxStartup || body < 4 {
			return rule{}, errFraming // an encrypted connection begins so, too
		}
		return rule{raw: maxStartup}, nil
	}
	switch typ {
	case 'Q':
		return rule{texts: []int{maxTextBytes}}, nil
	case 'P':
		return rule{texts: []int{maxName, maxTextBytes}}, nil
	case 'B':
		return rule{texts: []int{maxName, maxName}}, nil
	case 'E':
		return rule{texts: []int{maxName}}, nil
	case 'C':
		return rule{raw: 1, texts: []int{maxName}}, nil
	case 'F':
		return rule{raw: maxCall}, nil
	}
	return rule{}, nil
}

func (w *Watch) clientMessage() error {
	f := &w.client
	w.mu.Lock()
	defer w.mu.Unlock()
	if !f.typed {
		return w.startup(f.raw)
	}
	it := item{}
	switch f.typ {
	case 'Q':
		it = item{kind: query, text: clip(f.text[0], f.cut[0])}
	case 'P':
		it = item{kind: parse, name: string(f.text[0]), text: clip(f.text[1], f.cut[1])}
	case 'B':
		it = item{kind: bind, portal: string(f.text[0]), name: string(f.text[1])}
	case 'E':
		it = item{kind: execute, portal: string(f.text[0])}
	case 'C':
		it = item{kind: closeName, name: string(f.raw) + string(f.text[0])}
	case 'F':
		it = item{kind: function, text: callText(f.raw)}
	case 'S':
		it = item{kind: syncPoint}
	case 'c', 'f':
		it = item{kind: copyEnd}
	case 'd':
		w.copied += f.size - 5
		return nil
	default:
		return nil // Describe, Flush, passwords, Terminate, and what the server refuses
	}
	return w.sent(it)
}

// sent queues what the client has sent, unless the server will not answer it.
func (w *Watch) sent(it item) error {
	switch {
	case w.copyIn && it.kind == copyEnd:
		w.copyIn = false
		return nil
	case w.copyIn && it.kind == syncPoint:
		return nil // ignored there
	case w.copyIn:
		return errCopy
	case w.skipping && it.kind != syncPoint:
		return nil
	case it.kind == copyEnd && w.waiting() > 0 && w.items[len(w.items)-1].kind == copyEnd:
		return nil
	}
	w.skipping = false
	it.at = time.Now()
	w.push(it)
	limit := maxHeld
	if !w.authed {
		limit = maxHeldStranger
	}
	if w.held > limit || !w.authed && w.waiting() > maxAhead {
		return errTooMuch
	}
	return nil
}

// startup reads a packet of a connection's beginning.
func (w *Watch) startup(body []byte) error {
	switch code := binary.BigEndian.Uint32(body); {
	case code == codeSSL, code == codeGSSEnc:
		if w.encryption++; w.encryption > 10 {
			return errFraming
		}
		return nil
	case code == codeCancel:
		// The server ends the connection without an answer, and reads no more.
		w.client.ruled = func(byte, int64) (rule, error) { return rule{}, errFraming }
		return nil
	case code>>16 != protocol3:
		return errProtocol
	}
	w.client.typed = true
	list := bytes.Split(body[4:], []byte{0})
	for i := 0; i+1 < len(list) && len(list[i]) > 0; i += 2 {
		value := string(list[i+1])
		switch string(list[i]) {
		case "user":
			w.role = value
		case "database":
			w.database = value
		case "application_name":
			w.application = value
		}
	}
	if w.database == "" {
		w.database = w.role
	}
	return nil
}
