package snapshot

import (
	"fmt"
	"strconv"
	"strings"
)

// LSN is a position in the WAL, in bytes since its beginning.
type LSN uint64

// String gives PostgreSQL's notation, such as 0/1400028.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// MarshalText makes an LSN a string in JSON.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (l *LSN) UnmarshalText(b []byte) (err error) { *l, err = ParseLSN(string(b)); return err }

// ParseLSN reads PostgreSQL's notation.
func ParseLSN(s string) (LSN, error) {
	hi, lo, ok := strings.Cut(s, "/")
	h, err1 := strconv.ParseUint(hi, 16, 32)
	l, err2 := strconv.ParseUint(lo, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%.40q is not an LSN (expected hex/hex, such as 0/1400028)", s)
	}
	return LSN(h<<32 | l), nil
}

// A WALRange is the WAL of one timeline between two positions.
type WALRange struct {
	Timeline uint32
	Start    LSN
	End      LSN
}

// SegmentName returns the file name of the WAL segment that holds position l.
// segSize is the segment's size in bytes, a power of two.
func SegmentName(tli uint32, l LSN, segSize int) string {
	n := uint64(l) / uint64(segSize)
	per := uint64(1<<32) / uint64(segSize)
	return fmt.Sprintf("%08X%08X%08X", tli, n/per, n%per)
}

// ParseSegmentName is the inverse of SegmentName; start is the segment's first
// position. ok is false for anything that is not a complete segment's name
// (.partial, .backup, .history).
func ParseSegmentName(name string, segSize int) (tli uint32, start LSN, ok bool) {
	if len(name) != 24 || strings.ToUpper(name) != name {
		return 0, 0, false
	}
	t, err1 := strconv.ParseUint(name[:8], 16, 32)
	hi, err2 := strconv.ParseUint(name[8:16], 16, 32)
	lo, err3 := strconv.ParseUint(name[16:], 16, 32)
	if err1 != nil || err2 != nil || err3 != nil || lo >= uint64(1<<32)/uint64(segSize) {
		return 0, 0, false
	}
	return uint32(t), LSN(hi<<32 | lo*uint64(segSize)), true
}
