package nbdserver

import "encoding/binary"

// fields takes an option's data apart. Reading past the end sets bad and gives
// zero values, so that callers check once.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n int) []byte {
	if f.bad || n < 0 || n > len(f.b) {
		f.bad = true
		return nil
	}
	v := f.b[:n]
	f.b = f.b[n:]
	return v
}

func (f *fields) uint16() uint16 {
	if v := f.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if v := f.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

// text takes a string with its length in front, of at most maxName bytes.
func (f *fields) text() string {
	n := f.uint32()
	if n > maxName {
		f.bad = true
		return ""
	}
	return string(f.take(int(n)))
}
