package format

import (
	"encoding/binary"

	"github.com/snapview/snapview/snapshot"
)

// A .ptar is a store in one file:
//
//	"_PLATAR_", u32 version, CONFIG, one packfile, one state, trailer
const (
	PtarMagic   = "_PLATAR_"
	ptarHead    = 12
	TrailerSize = 48 // 6 x i64: offset and length of CONFIG, packfile and state
)

// A Part is a run of bytes of a .ptar.
type Part struct{ Off, Len int64 }

// Parts are what a .ptar consists of.
type Parts struct{ Config, Packfile, State Part }

// ParsePtar reads the first 12 and the last TrailerSize bytes of a .ptar of
// size bytes.
func ParsePtar(head, trailer []byte, size int64) (p Parts, err error) {
	if len(head) < ptarHead || len(trailer) != TrailerSize || size < ptarHead+TrailerSize {
		return p, snapshot.Errorf(snapshot.ErrDamaged, "a .ptar of %d bytes", size)
	}
	if string(head[:8]) != PtarMagic {
		return p, snapshot.Errorf(snapshot.ErrNotABackup, "no .ptar: it begins with %q", head[:8])
	}
	if v := Version(binary.LittleEndian.Uint32(head[8:])); v.Major() != 1 {
		return p, snapshot.Errorf(snapshot.ErrUnsupported, "a .ptar of format %s; this build reads 1.x", v)
	}
	at := func(i int) int64 { return int64(binary.LittleEndian.Uint64(trailer[8*i:])) }
	p = Parts{Part{at(0), at(1)}, Part{at(2), at(3)}, Part{at(4), at(5)}}
	end := size - TrailerSize
	for _, part := range []Part{p.Config, p.Packfile, p.State} {
		if part.Off < ptarHead || part.Len < HeaderSize+FooterSize || part.Off > end || part.Len > end-part.Off {
			return p, snapshot.Errorf(snapshot.ErrDamaged,
				"the last %d bytes do not say where the parts of the .ptar lie: it was cut short, or never finished", TrailerSize)
		}
	}
	return p, nil
}
