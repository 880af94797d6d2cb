package pages

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The header of a page (PageHeaderData in storage/bufpage.h).
const (
	checksumAt = 8
	flagsAt    = 10
	lowerAt    = 12
	upperAt    = 14
	specialAt  = 16
	validFlags = 0x0007
)

// The checksum is 32 interleaved FNV-1a hashes of the page's words, with a
// shift mixed in, folded into 16 bits together with the block's number, so that
// a page in the wrong place is noticed too. The numbers are part of the format
// (storage/checksum_impl.h).
const (
	lanes = 32
	prime = 16777619
)

var offsets = [lanes]uint32{
	0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
	0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
	0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
	0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
}

// Checksum returns what a page's pd_checksum should be, at that block of its
// fork. The page's length must be a multiple of 128 bytes; the checksum that it
// holds does not count.
func Checksum(page []byte, block uint32) uint16 {
	sums := offsets
	for row := 0; row+4*lanes <= len(page); row += 4 * lanes {
		words := page[row : row+4*lanes : row+4*lanes]
		for i := range sums {
			word := binary.LittleEndian.Uint32(words[4*i:])
			if row == 0 && i == checksumAt/4 {
				word &= 0xFFFF0000 // the checksum itself
			}
			mixed := sums[i] ^ word
			sums[i] = mixed*prime ^ mixed>>17
		}
	}
	result := block
	for _, s := range sums {
		for range 2 { // two rounds of zeros
			s = s*prime ^ s>>17
		}
		result ^= s
	}
	return uint16(result%65535 + 1)
}

// verdict says what is wrong with a page, or nothing; fresh means a page of zeros.
func verdict(page []byte, block uint32, checksums bool) (wrong string, fresh bool) {
	le := binary.LittleEndian
	lower, upper, special := le.Uint16(page[lowerAt:]), le.Uint16(page[upperAt:]), le.Uint16(page[specialAt:])
	if upper == 0 {
		if len(bytes.TrimLeft(page, "\x00")) == 0 {
			return "", true
		}
		return "the header is that of a page never used, but the page is not empty", false
	}
	if checksums {
		if got, want := Checksum(page, block), le.Uint16(page[checksumAt:]); got != want {
			return fmt.Sprintf("checksum is %04x, the page says %04x", got, want), false
		}
	}
	size := len(page)
	switch {
	case le.Uint16(page[flagsAt:])&^validFlags != 0, lower > upper, upper > special, int(special) > size, special%8 != 0:
		return fmt.Sprintf("the header is impossible (lower %d, upper %d, special %d)", lower, upper, special), false
	}
	return "", false
}
