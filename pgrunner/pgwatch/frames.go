package pgwatch

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// errFraming is a stream that is not made of messages.
var errFraming = errors.New("the bytes are not messages of the protocol")

// A rule says how much of a message's body is kept: the first raw bytes, then
// strings that end in a zero byte, each up to so many bytes.
type rule struct {
	raw   int
	texts []int
}

// frames cuts a stream into messages: type, length that counts itself, body.
// The first ones of a client have no type.
type frames struct {
	typed bool
	ruled func(typ byte, body int64) (rule, error)
	ended func() error // a message has ended; its fields hold until it returns

	header [5]byte
	have   int   // bytes of header
	left   int64 // bytes of the body to come
	rule   rule

	typ  byte
	size int64 // of the whole message
	raw  []byte
	text [2][]byte
	cut  [2]bool // the text was longer
	at   int     // the text that is being read
}

// keptBuffer is the largest buffer that outlives its message.
const keptBuffer = 16 << 10

func (f *frames) feed(p []byte) error {
	for {
		head := 4
		if f.typed {
			head = 5
		}
		if f.have < head {
			n := copy(f.header[f.have:head], p)
			f.have += n
			p = p[n:]
			if f.have < head {
				return nil
			}
			if err := f.begin(head); err != nil {
				return err
			}
		}
		n := min(f.left, int64(len(p)))
		if f.rule.raw > 0 || f.rule.texts != nil {
			f.keep(p[:n])
		}
		f.left -= n
		p = p[n:]
		if f.left > 0 {
			return nil
		}
		f.have = 0
		if err := f.ended(); err != nil {
			return err
		}
	}
}

func (f *frames) begin(head int) error {
	length := int64(int32(binary.BigEndian.Uint32(f.header[head-4 : head])))
	if length < 4 {
		return errFraming
	}
	f.typ = 0
	if f.typed {
		f.typ = f.header[0]
	}
	f.left, f.size = length-4, length+int64(head)-4
	var err error
	f.rule, err = f.ruled(f.typ, f.left)
	if err != nil || f.rule.raw == 0 && f.rule.texts == nil {
		return err
	}
	f.raw, f.at, f.cut = f.raw[:0], 0, [2]bool{}
	for i := range f.text {
		if cap(f.text[i]) > keptBuffer {
			f.text[i] = nil
		}
		f.text[i] = f.text[i][:0]
	}
	return nil
}

func (f *frames) keep(p []byte) {
	if n := min(f.rule.raw-len(f.raw), len(p)); n > 0 {
		f.raw = append(f.raw, p[:n]...)
		p = p[n:]
	}
	for len(p) > 0 && f.at < len(f.rule.texts) {
		end := bytes.IndexByte(p, 0)
		part := p
		if end >= 0 {
			part = p[:end]
		}
		room := f.rule.texts[f.at] - len(f.text[f.at])
		if len(part) > room {
			part, f.cut[f.at] = part[:room], true
		}
		f.text[f.at] = append(f.text[f.at], part...)
		if end < 0 {
			return
		}
		f.at++
		p = p[end+1:]
	}
}
