// Package state reads the states of a Kloset store, which say where its blobs
// lie.
//
// Each backup adds one state. A state is a list of changes; applied one after
// the other, parents first, they make the Index. (kloset,
// repository/state/localstate.go and encoding.go)
//
//	from format 1.1 on: MAC of the parent
//	entries: u8 kind, u32 length, body
//	u8 1, u32 version, i64 time in ns, 16 bytes serial
package state

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
)

// Kinds of entries.
const (
	kindEnd      = 1
	kindLocation = 2
	kindColoured = 3
	kindPackfile = 4
	kindDelete   = 6
)

// sizes of the bodies of the kinds that are used, bytes
var sizes = map[byte]uint32{kindLocation: 85, kindColoured: 41, kindPackfile: 72, kindDelete: 66}

// Bounds on untrusted input.
const (
	maxEntries = 32 << 20 // in all states of a store
	maxUnknown = 1 << 20  // bytes of an entry that is passed over
)

// A Location is where a blob lies.
type Location struct {
	Packfile format.MAC
	Offset   int64 // after the packfile's header
	Length   int64 // bytes
}

// Parent returns the state that a state comes after, if it says so. r gives
// the state's content from its beginning.
func Parent(r io.Reader, v format.Version) (m format.MAC, err error) {
	if !v.AtLeast(1, 1) {
		return m, nil
	}
	_, err = io.ReadFull(r, m[:])
	return m, short(err)
}

func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return snapshot.Errorf(snapshot.ErrDamaged, "it ends before its last entry")
	}
	return err
}

// Apply reads the content of a state of format v and applies its changes. An
// error leaves the Index in between: it must not be used.
func (x *Index) Apply(content io.Reader, v format.Version) error {
	r := bufio.NewReaderSize(content, 64<<10)
	if _, err := Parent(r, v); err != nil {
		return err
	}
	var body [85]byte
	for {
		kind, err := r.ReadByte()
		if err != nil {
			return short(err)
		}
		if kind == kindEnd {
			var meta [4 + 8 + 16]byte
			_, err := io.ReadFull(r, meta[:])
			return short(err)
		}
		if _, err := io.ReadFull(r, body[:4]); err != nil {
			return short(err)
		}
		n := binary.LittleEndian.Uint32(body[:])
		if x.entries++; x.entries > maxEntries {
			return snapshot.Errorf(snapshot.ErrUnsupported, "more than %d entries in the states of the store", maxEntries)
		}
		want, known := sizes[kind]
		switch {
		case known && n != want:
			return snapshot.Errorf(snapshot.ErrDamaged, "an entry of kind %d has %d bytes, not %d", kind, n, want)
		case known:
			if _, err := io.ReadFull(r, body[:n]); err != nil {
				return short(err)
			}
			if err := x.entry(kind, body[:n]); err != nil {
				return err
			}
		case n > maxUnknown:
			return snapshot.Errorf(snapshot.ErrDamaged, "an entry of kind %d and %d bytes", kind, n)
		default: // the store's settings, and kinds of later versions
			if _, err := r.Discard(int(n)); err != nil {
				return short(err)
			}
		}
	}
}

// entry applies one change.
func (x *Index) entry(kind byte, b []byte) error {
	switch kind {
	case kindLocation:
		l := Location{format.MAC(b[37:69]), int64(binary.LittleEndian.Uint64(b[69:])), int64(binary.LittleEndian.Uint32(b[77:]))}
		if l.Offset < 0 || l.Offset > 1<<60 {
			return snapshot.Errorf(snapshot.ErrDamaged, "a blob at offset %d", uint64(l.Offset))
		}
		x.add(blobKey{b[0], format.MAC(b[5:37])}, l)
	case kindColoured:
		x.coloured[blobKey{b[0], format.MAC(b[1:33])}] = true
	case kindPackfile:
		x.packfiles[format.MAC(b[:32])] = true
	case kindDelete:
		key, pack := blobKey{b[1], format.MAC(b[2:34])}, format.MAC(b[34:66])
		switch b[0] {
		case kindLocation:
			x.remove(key, pack)
		case kindColoured:
			delete(x.coloured, key)
		case kindPackfile:
			delete(x.packfiles, pack)
		default:
			return snapshot.Errorf(snapshot.ErrDamaged, "it deletes an entry of kind %d", b[0])
		}
	}
	return nil
}
