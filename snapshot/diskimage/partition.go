package diskimage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"unicode/utf16"

	"github.com/snapview/snapview/snapshot"
)

var le = binary.LittleEndian

// A volume is a partition, the whole of an image that has none, or a logical
// volume of LVM.
type volume struct {
	number int    // of the partition, from 1; 0 for the whole
	label  string // of a GPT partition; group/name of a logical volume
	start  int64  // in the image, bytes
	size   int64
	lvm    bool
	r      io.ReaderAt // of a logical volume, nil for one that lies in one piece
}

func (v volume) String() string {
	switch {
	case v.lvm:
		return "logical volume " + v.label
	case v.number == 0:
		return "the image"
	case v.label != "":
		return fmt.Sprintf("partition %d (%s)", v.number, v.label)
	}
	return fmt.Sprintf("partition %d", v.number)
}

// id is what people name a volume by.
func (v volume) id() string {
	if v.lvm {
		return v.label
	}
	return strconv.Itoa(v.number)
}

// Bounds on partition tables. GPT has 128 entries as a rule.
const (
	maxPartitions = 256
	maxEntrySize  = 1024
	mbrTable      = 446
	mbrSignature  = 510
)

// volumes reads the partition table. An image without one is one volume.
func volumes(r io.ReaderAt, size int64) ([]volume, error) {
	mbr := make([]byte, 512)
	if n, _ := r.ReadAt(mbr, 0); n < len(mbr) || fileSystem(r, 0, size) != "" || mbr[mbrSignature] != 0x55 || mbr[mbrSignature+1] != 0xAA {
		return []volume{{size: size}}, nil
	}
	for i := range 4 {
		if mbr[mbrTable+16*i+4] == 0xEE {
			return gpt(r, size)
		}
	}
	return mbrVolumes(r, mbr, size)
}

// mbrVolumes reads the four entries of an MBR, and the logical partitions in an
// extended one, which are a list of such tables.
func mbrVolumes(r io.ReaderAt, mbr []byte, size int64) ([]volume, error) {
	const sector = 512
	var list []volume
	var extended int64
	for i := range 4 {
		kind, start, count := mbrEntry(mbr, i)
		switch {
		case kind == 0 || count == 0:
		case isExtended(kind):
			extended = start
		default:
			list = append(list, volume{number: i + 1, start: start * sector, size: count * sector})
		}
	}
	table := make([]byte, sector)
	for next, number := extended, 5; next != 0 && number < maxPartitions; number++ {
		if n, _ := r.ReadAt(table, next*sector); n < len(table) || table[mbrSignature] != 0x55 || table[mbrSignature+1] != 0xAA {
			return nil, snapshot.Errorf(snapshot.ErrDamaged, "the list of logical partitions breaks off at sector %d", next)
		}
		if kind, start, count := mbrEntry(table, 0); kind != 0 && count != 0 {
			list = append(list, volume{number: number, start: (next + start) * sector, size: count * sector})
		}
		kind, start, _ := mbrEntry(table, 1)
		if next = 0; isExtended(kind) {
			next = extended + start
		}
	}
	return inside(list, size), nil
}

func mbrEntry(table []byte, i int) (kind byte, start, count int64) {
	e := table[mbrTable+16*i:]
	return e[4], int64(le.Uint32(e[8:])), int64(le.Uint32(e[12:]))
}

func isExtended(kind byte) bool { return kind == 0x05 || kind == 0x0F || kind == 0x85 }

// inside leaves out what does not lie in the image, and cuts what goes beyond.
func inside(list []volume, size int64) []volume {
	var kept []volume
	for _, v := range list {
		if v.start > 0 && v.start < size && v.size > 0 {
			v.size = min(v.size, size-v.start)
			kept = append(kept, v)
		}
	}
	return kept
}

// gpt reads a GUID partition table, with sectors of 512 or 4096 bytes, the copy
// at the end of the disk if the first is damaged.
func gpt(r io.ReaderAt, size int64) ([]volume, error) {
	var firstErr error
	for _, sector := range []int64{512, 4096} {
		for _, at := range []int64{sector, size/sector*sector - sector} {
			list, err := gptAt(r, at, sector)
			if err == nil {
				return inside(list, size), nil
			}
			if firstErr == nil {
				firstErr = err
			}
		}
	}
	return nil, snapshot.Errorf(snapshot.ErrDamaged, "the partition table (GPT) cannot be read: %w", firstErr)
}

func gptAt(r io.ReaderAt, at, sector int64) ([]volume, error) {
	h := make([]byte, 92)
	if n, _ := r.ReadAt(h, at); n < len(h) || string(h[:8]) != "EFI PART" {
		return nil, fmt.Errorf("no header at byte %d", at)
	}
	sum := le.Uint32(h[16:])
	clear(h[16:20])
	count, entry := int64(le.Uint32(h[80:])), int64(le.Uint32(h[84:]))
	first := le.Uint64(h[72:])
	if le.Uint32(h[12:]) != uint32(len(h)) || crc32.ChecksumIEEE(h) != sum || count > maxPartitions || entry < 128 || entry > maxEntrySize || first > 1<<40 {
		return nil, fmt.Errorf("the header at byte %d is damaged", at)
	}
	table := make([]byte, count*entry)
	if n, _ := r.ReadAt(table, int64(first)*sector); n < len(table) || crc32.ChecksumIEEE(table) != le.Uint32(h[88:]) {
		return nil, fmt.Errorf("the entries that the header at byte %d points to are damaged", at)
	}
	var list []volume
	for i := range count {
		e := table[i*entry:]
		start, end := le.Uint64(e[32:]), le.Uint64(e[40:])
		if bytes.Equal(e[:16], make([]byte, 16)) || start > end || end > 1<<40 {
			continue
		}
		var name []uint16
		for at := 56; at < 128 && le.Uint16(e[at:]) != 0; at += 2 {
			name = append(name, le.Uint16(e[at:]))
		}
		list = append(list, volume{number: int(i) + 1, label: string(utf16.Decode(name)), start: int64(start) * sector, size: int64(end-start+1) * sector})
	}
	return list, nil
}
