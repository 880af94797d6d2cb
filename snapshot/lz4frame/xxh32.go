package lz4frame

import (
	"encoding/binary"
	"math/bits"
)

// The constants of xxHash's 32-bit variant (github.com/Cyan4973/xxHash,
// doc/xxhash_spec.md), with the seed 0 that LZ4 frames use.
const (
	prime1 = 2654435761
	prime2 = 2246822519
	prime3 = 3266489917
	prime4 = 668265263
	prime5 = 374761393
)

func round(acc, lane uint32) uint32 {
	return bits.RotateLeft32(acc+lane*prime2, 13) * prime1
}

// content is the checksum and size of a frame's content. The zero value is
// ready.
type content struct {
	size  int64
	acc   [4]uint32
	rest  [16]byte
	nrest int
}

func (c *content) add(p []byte) {
	if c.size == 0 {
		var one uint32 = prime1 // in a variable, because the sum wraps around
		c.acc = [4]uint32{one + prime2, prime2, 0, -one}
	}
	c.size += int64(len(p))
	if c.nrest > 0 {
		n := copy(c.rest[c.nrest:], p)
		p = p[n:]
		if c.nrest += n; c.nrest < 16 {
			return
		}
		c.stripes(c.rest[:])
		c.nrest = 0
	}
	whole := len(p) &^ 15
	c.stripes(p[:whole])
	c.nrest = copy(c.rest[:], p[whole:])
}

func (c *content) stripes(p []byte) {
	a0, a1, a2, a3 := c.acc[0], c.acc[1], c.acc[2], c.acc[3]
	le := binary.LittleEndian
	for ; len(p) >= 16; p = p[16:] {
		a0 = round(a0, le.Uint32(p))
		a1 = round(a1, le.Uint32(p[4:]))
		a2 = round(a2, le.Uint32(p[8:]))
		a3 = round(a3, le.Uint32(p[12:]))
	}
	c.acc = [4]uint32{a0, a1, a2, a3}
}

func (c *content) sum() uint32 {
	h := uint32(prime5)
	if c.size >= 16 {
		h = bits.RotateLeft32(c.acc[0], 1) + bits.RotateLeft32(c.acc[1], 7) +
			bits.RotateLeft32(c.acc[2], 12) + bits.RotateLeft32(c.acc[3], 18)
	}
	h += uint32(c.size)
	p := c.rest[:c.nrest]
	for ; len(p) >= 4; p = p[4:] {
		h = bits.RotateLeft32(h+binary.LittleEndian.Uint32(p)*prime3, 17) * prime4
	}
	for _, b := range p {
		h = bits.RotateLeft32(h+uint32(b)*prime5, 11) * prime1
	}
	h ^= h >> 15
	h *= prime2
	h ^= h >> 13
	h *= prime3
	return h ^ h>>16
}

func checksum(p []byte) uint32 {
	var c content
	c.add(p)
	return c.sum()
}
