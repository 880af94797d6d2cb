package format

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/snapview/snapview/snapshot"
)

// A Type is a kind of resource.
type Type uint32

// The types that reading needs.
const (
	TypeConfig   Type = 1
	TypeState    Type = 3
	TypePackfile Type = 4
	TypeSnapshot Type = 5
	TypeObject   Type = 7
	TypeChunk    Type = 9
	TypeTree     Type = 10
	TypeNode     Type = 11
	TypeEntry    Type = 12
)

var typeNames = map[Type]string{
	TypeConfig: "configuration", TypeState: "state", TypePackfile: "packfile", TypeSnapshot: "snapshot header",
	TypeObject: "object", TypeChunk: "chunk", TypeTree: "tree", TypeNode: "tree node", TypeEntry: "directory entry",
}

// String names the type for errors.
func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return s
	}
	return fmt.Sprintf("resource of type %d", uint32(t))
}

// A Version of a resource's format: major, minor, patch in one byte each.
type Version uint32

// Major returns the major version. Formats of one major version can be read
// by what reads the lowest of them.
func (v Version) Major() int { return int(v >> 16) }

// AtLeast reports whether v is major.minor or later.
func (v Version) AtLeast(major, minor int) bool {
	return v>>8 >= Version(major<<8|minor)
}

// String gives "1.1.0".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v>>16, v>>8&0xff, v&0xff) }

// Sizes of the envelope around CONFIG, states and packfiles:
//
//	"_KLOSET_" (once "_PLAKAR_"), u32 type, u32 version, payload, MAC of all before
const (
	HeaderSize = 16
	FooterSize = 32
)

// ParseHeader reads the header of an envelope, which must be of the type t
// and of major version 1. The MAC is not looked at.
func ParseHeader(b []byte, t Type) (Version, error) {
	if len(b) < HeaderSize {
		return 0, snapshot.Errorf(snapshot.ErrDamaged, "a %s of %d bytes", t, len(b))
	}
	if magic := string(b[:8]); magic != "_KLOSET_" && magic != "_PLAKAR_" {
		return 0, snapshot.Errorf(snapshot.ErrDamaged, "no %s: it begins with %q", t, magic)
	}
	got, v := Type(binary.LittleEndian.Uint32(b[8:])), Version(binary.LittleEndian.Uint32(b[12:]))
	if got != t {
		return 0, snapshot.Errorf(snapshot.ErrDamaged, "a %s where a %s should be", got, t)
	}
	if v.Major() != 1 {
		return 0, snapshot.Errorf(snapshot.ErrUnsupported, "a %s of format %s; this build reads 1.x", t, v)
	}
	return v, nil
}

// Unwrap returns what an envelope holds after checking its MAC with h.
func Unwrap(b []byte, t Type, h hash.Hash) (payload []byte, v Version, err error) {
	if v, err = ParseHeader(b, t); err != nil {
		return nil, 0, err
	}
	end := len(b) - FooterSize
	if end < HeaderSize {
		return nil, 0, snapshot.Errorf(snapshot.ErrDamaged, "a %s of %d bytes", t, len(b))
	}
	h.Write(b[:end])
	if subtle.ConstantTimeCompare(h.Sum(nil), b[end:]) != 1 {
		return nil, 0, snapshot.Errorf(snapshot.ErrDamaged, "the %s does not match its MAC: bytes of it were changed", t)
	}
	return b[HeaderSize:end], v, nil
}
