package cow

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// Metadata files are sequences of frames of one disk sector each, so that a
// sector is what a power loss leaves old or new, and a checksum covers exactly
// that. A record is one or more consecutive frames.
//
//	 0  4  "SVOL"
//	 4  4  CRC-32C of the file's salt and of bytes 8 to 511
//	 8  2  length of the payload, at most 488
//	10  1  type of the record
//	11  1  1: first frame of its record, 2: last
//	12  4  number of the record in the file, from 0
//	16  8  number of the frame in the file, from 0
//	24     payload, then zeros to byte 511
//
// Numbers are little-endian. The salt is empty for the first frame, which
// holds it.
const (
	frameSize    = 512
	frameHead    = 24
	framePayload = frameSize - frameHead
	frameMagic   = "SVOL"

	flagFirst = 1
	flagLast  = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type recordType uint8

const (
	recHeader recordType = 1 // of a layer's map
	recState  recordType = 2 // all blocks of the layer
	recDelta  recordType = 3 // blocks that changed since the record before
	recSeal   recordType = 4 // name and time of a checkpoint
	recStore  recordType = 5 // header of a store
)

// frame is one decoded frame; payload aliases the bytes it was decoded from.
type frame struct {
	typ     recordType
	flags   uint8
	record  uint32
	payload []byte
}

// appendRecord appends a record's frames to dst. nextFrame is the number of
// the first of them in the file.
func appendRecord(dst []byte, salt []byte, typ recordType, record uint32, nextFrame uint64, payload []byte) []byte {
	dst = slices.Grow(dst, max(1, (len(payload)+framePayload-1)/framePayload)*frameSize)
	for first := true; first || len(payload) > 0; first = false {
		n := min(len(payload), framePayload)
		var flags uint8
		if first {
			flags |= flagFirst
		}
		if n == len(payload) {
			flags |= flagLast
		}
		var b [frameSize]byte
		copy(b[:], frameMagic)
		binary.LittleEndian.PutUint16(b[8:], uint16(n))
		b[10], b[11] = byte(typ), flags
		binary.LittleEndian.PutUint32(b[12:], record)
		binary.LittleEndian.PutUint64(b[16:], nextFrame)
		copy(b[frameHead:], payload[:n])
		binary.LittleEndian.PutUint32(b[4:], frameSum(salt, b[:]))
		dst = append(dst, b[:]...)
		payload = payload[n:]
		nextFrame++
	}
	return dst
}

func frameSum(salt, b []byte) uint32 {
	return crc32.Update(crc32.Checksum(salt, castagnoli), castagnoli, b[8:frameSize])
}

// decodeFrame checks and splits the frame in b, which must be frameSize long
// and stand at place number in its file.
func decodeFrame(salt, b []byte, number uint64) (frame, error) {
	if string(b[:4]) != frameMagic {
		return frame{}, fmt.Errorf("no frame mark (%q instead of %q)", b[:4], frameMagic)
	}
	if got, want := frameSum(salt, b), binary.LittleEndian.Uint32(b[4:]); got != want {
		return frame{}, fmt.Errorf("checksum is %08x, should be %08x", got, want)
	}
	n := int(binary.LittleEndian.Uint16(b[8:]))
	if n > framePayload {
		return frame{}, fmt.Errorf("payload of %d bytes in a frame of %d", n, frameSize)
	}
	if got := binary.LittleEndian.Uint64(b[16:]); got != number {
		return frame{}, fmt.Errorf("this is frame %d, frame %d should be here", got, number)
	}
	for _, c := range b[frameHead+n:] {
		if c != 0 {
			return frame{}, fmt.Errorf("bytes after the payload are not zero")
		}
	}
	return frame{
		typ:     recordType(b[10]),
		flags:   b[11],
		record:  binary.LittleEndian.Uint32(b[12:]),
		payload: b[frameHead : frameHead+n],
	}, nil
}

// isBlank reports whether a frame's place was never written: what a crash
// leaves of a sector that did not get to the disk.
func isBlank(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
