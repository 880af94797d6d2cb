package inflate

import (
	"errors"
	"math/bits"
	"sync"
)

const (
	litBits  = 11
	distBits = 8
	preBits  = 7
	maxCode  = 15 // bits of a code

	// Sizes of the tables with their second levels: what a complete set of
	// 288 or 32 codes needs at most (zlib's examples/enough.c).
	litSize  = 2342
	distSize = 402
)

// An entry of a table:
//
//	bits 0-5   how many bits to consume, extra bits included
//	bits 8-11  how many of them are the code's; or the second level's bits
//	bit 13     second level
//	bit 14     end of block
//	bit 15     not an ordinary one: end of block, second level, or invalid
//	bits 16-30 literal, base of a length or distance, or the second level's place
//	bit 31     literal
//
// Invalid is bit 15 without bits 13 and 14.
const (
	entrySub     = 1 << 13
	entryEnd     = 1 << 14
	entryOther   = 1 << 15
	entryLiteral = 1 << 31
)

// tables are the codes of one block.
type tables struct {
	lit  [litSize]uint32
	dist [distSize]uint32
}

var errCodes = errors.New("impossible set of codes")

// Symbols without their codes, as entries.
var (
	litSymbols  [288]uint32
	distSymbols [32]uint32
	preSymbols  [19]uint32
)

func init() {
	for i := range 256 {
		litSymbols[i] = entryLiteral | uint32(i)<<16
	}
	litSymbols[256] = entryOther | entryEnd
	base := uint32(3)
	for i := 257; i < 285; i++ {
		extra := uint32(max(0, (i-261)/4))
		litSymbols[i] = base<<16 | extra
		base += 1 << extra
	}
	litSymbols[285] = 258 << 16
	litSymbols[286], litSymbols[287] = entryOther, entryOther
	base = 1
	for i := range 30 {
		extra := uint32(max(0, i/2-1))
		distSymbols[i] = base<<16 | extra
		base += 1 << extra
	}
	distSymbols[30], distSymbols[31] = entryOther, entryOther
	for i := range preSymbols {
		preSymbols[i] = uint32(i) << 16
	}
}

// build fills table, whose first level has the given number of bits, with the
// canonical code that has these lengths. A set may be incomplete only if it
// has no code or one of one bit.
func build(table []uint32, primary int, lengths []uint8, symbols []uint32) error {
	var count [maxCode + 1]int
	for _, l := range lengths {
		count[l]++
	}
	count[0] = 0
	longest, left := 0, 1
	for l := 1; l <= maxCode; l++ {
		left = left<<1 - count[l]
		if left < 0 {
			return errCodes
		}
		if count[l] > 0 {
			longest = l
		}
	}
	if left > 0 {
		if longest > 1 {
			return errCodes
		}
		for i := range 1 << primary {
			table[i] = entryOther
		}
	}
	var offset [maxCode + 2]int
	for l := 1; l <= maxCode; l++ {
		offset[l+1] = offset[l] + count[l]
	}
	var sorted [288]uint16
	for s, l := range lengths {
		if l > 0 {
			sorted[offset[l]] = uint16(s)
			offset[l]++
		}
	}

	code, free := 0, 1<<primary // the next code; where the next second level goes
	prefix, sub, subBits := -1, 0, 0
	next := 0
	for l := 1; l <= longest; l++ {
		for range count[l] {
			s := sorted[next]
			next++
			at := int(bits.Reverse16(uint16(code)) >> (16 - l))
			code++
			if l <= primary {
				e := symbols[s] + uint32(l) | uint32(l)<<8
				for i := at; i < 1<<primary; i += 1 << l {
					table[i] = e
				}
				continue
			}
			if p := at & (1<<primary - 1); p != prefix {
				prefix, sub = p, free
				subBits = l - primary
				for room := 1 << subBits; subBits+primary < longest; subBits++ {
					if room -= count[subBits+primary]; room <= 0 {
						break
					}
					room <<= 1
				}
				if free += 1 << subBits; free > len(table) {
					return errCodes
				}
				table[p] = entryOther | entrySub | uint32(sub)<<16 | uint32(subBits)<<8 | uint32(primary)
			}
			e := symbols[s] + uint32(l-primary) | uint32(l-primary)<<8
			for i := at >> primary; i < 1<<subBits; i += 1 << (l - primary) {
				table[sub+i] = e
			}
			count[l]-- // what is left of this length, for the size of the next second level
		}
		code <<= 1
	}
	return nil
}

// fixed returns the tables of blocks with fixed codes.
var fixed = sync.OnceValue(func() *tables {
	var lengths [288]uint8
	for i := range lengths {
		switch {
		case i < 144, i >= 280:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	t := &tables{}
	var dist [32]uint8
	for i := range dist {
		dist[i] = 5
	}
	err := errors.Join(build(t.lit[:], litBits, lengths[:], litSymbols[:]), build(t.dist[:], distBits, dist[:], distSymbols[:]))
	if err != nil {
		panic(err) // the standard's own codes
	}
	return t
})
