package cow

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// BlockSize is the unit in which layers hold data, in bytes.
const BlockSize = 4096

// MaxVirtualSize is the largest device that a store can describe, in bytes:
// block numbers have 32 bits.
const MaxVirtualSize = int64(1) << 32 * BlockSize

// BaseID identifies the contents of a base. Two bases of equal BaseID must
// have equal bytes; layers written over one are refused over another.
type BaseID [32]byte

// String returns the identity in hexadecimal.
func (id BaseID) String() string { return hex.EncodeToString(id[:]) }

// LayerID names a layer within its store: a ULID, so that ids sort by age.
// The zero LayerID stands for the base.
type LayerID [16]byte

var newIDs = struct {
	sync.Mutex
	entropy io.Reader
}{entropy: ulid.Monotonic(rand.Reader, 0)}

// NewLayerID returns an id that no other layer has, greater than those that
// this process made before.
func NewLayerID() LayerID {
	newIDs.Lock()
	defer newIDs.Unlock()
	return LayerID(ulid.MustNew(ulid.Timestamp(time.Now()), newIDs.entropy))
}

// ParseLayerID reads what String writes; "base" and "" are the zero LayerID.
func ParseLayerID(s string) (LayerID, error) {
	if s == "" || s == "base" {
		return LayerID{}, nil
	}
	u, err := ulid.ParseStrict(s)
	if err != nil {
		return LayerID{}, fmt.Errorf("layer id %q: %w", s, err)
	}
	return LayerID(u), nil
}

// IsBase reports whether the id is the zero LayerID, the base itself.
func (id LayerID) IsBase() bool { return id == LayerID{} }

// String returns the ULID in its usual 26 characters, or "base".
func (id LayerID) String() string {
	if id.IsBase() {
		return "base"
	}
	return ulid.ULID(id).String()
}

// MarshalText implements encoding.TextMarshaler with String.
func (id LayerID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler with ParseLayerID.
func (id *LayerID) UnmarshalText(b []byte) error {
	v, err := ParseLayerID(string(b))
	if err == nil {
		*id = v
	}
	return err
}
