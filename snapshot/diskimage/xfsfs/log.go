package xfsfs

import (
	"bytes"

	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

// Layout of the log, in sectors: records of a header, or several, and data. It
// is a ring; the first word of every sector is the number of the cycle that
// wrote it, in headers behind their magic number. What was there of data is in
// the header.
const (
	magicRecord = 0xFEEDBABE

	maxRecord   = 256 << 10 // data of a record, in bytes
	headerCover = 32 << 10  // data whose first words one header has room for
	inFlight    = 8         // records that may be written at the same time

	// behindHead is how far, in sectors, what was in flight may reach.
	behindHead = inFlight * maxRecord / sector
)

const remedy = "mount a copy of the disk once and unmount it, or take the image while the file system is frozen (xfs_freeze) or unmounted"

// A journal is the log that is being read.
type journal struct {
	f *FS
	n int64 // sectors
}

// A recordHeader is the header of a record, and where it is.
type recordHeader struct {
	at      int64 // sector of the log
	raw     []byte
	cycle   uint32
	size    int64 // bytes of the buffer that it was written from
	headers int64 // sectors
	length  int64 // bytes of data
	lsn     uint64
	tail    uint64
	ops     uint32
}

// sectors is the size of a record.
func (r *recordHeader) sectors() int64 { return r.headers + (r.length+sector-1)/sector }

// ring is a sector's place in the log.
func (j *journal) ring(at int64) int64 { return ((at % j.n) + j.n) % j.n }

// distance is how far it is from one sector forward to another; a whole turn if
// they are the same.
func (j *journal) distance(from, to int64) int64 {
	if d := j.ring(to - from); d > 0 {
		return d
	}
	return j.n
}

// read reads sectors from at on, around the end of the log.
func (j *journal) read(at, count int64) ([]byte, error) {
	b := make([]byte, count*sector)
	at = j.ring(at)
	first := min(count, j.n-at)
	if err := imagefs.ReadFull(j.f.r, b[:first*sector], j.f.logStart+at*sector); err != nil {
		return nil, err
	}
	return b, imagefs.ReadFull(j.f.r, b[first*sector:], j.f.logStart)
}

// cycleOf is the number of the cycle that wrote a sector.
func cycleOf(b []byte) uint32 {
	if c := be.Uint32(b); c != magicRecord {
		return c
	}
	return be.Uint32(b[4:])
}

func (j *journal) cycle(at int64) (uint32, error) {
	b, err := j.read(at, 1)
	if err != nil {
		return 0, err
	}
	return cycleOf(b), nil
}

// cut finds where the cycle numbers fall: the sector that would be written next
// had all writes been finished. empty is a log that was never written.
func (j *journal) cut() (at int64, empty bool, err error) {
	first, err := j.cycle(0)
	if err != nil || first == 0 {
		return 0, true, err
	}
	last, err := j.cycle(j.n - 1)
	if err != nil {
		return 0, false, err
	}
	at = j.n
	if first != last {
		low := int64(0)
		for at = j.n - 1; at-low > 1; {
			middle := (low + at) / 2
			c, err := j.cycle(middle)
			if err != nil {
				return 0, false, err
			}
			if c == last {
				at = middle
			} else {
				low = middle
			}
		}
	}
	// Writes may have ended out of order: a sector that an earlier one of the
	// flight did not reach is the cut.
	window := min(j.n, behindHead)
	if last == 0 {
		window = min(window, at)
	}
	b, err := j.read(at-window, window)
	if err != nil {
		return 0, false, err
	}
	for i := range window {
		expected := first
		if at-window+i < 0 {
			expected--
		}
		if cycleOf(b[i*sector:]) == expected-1 {
			return j.ring(at - window + i), false, nil
		}
	}
	return j.ring(at), false, nil
}

// headerBefore finds the last header that begins before a sector, at most so many
// sectors before it. It is nil if there is none.
func (j *journal) headerBefore(at, within int64) (*recordHeader, error) {
	const step = 128
	for done := int64(0); done < within; {
		count := min(step, within-done)
		from := at - done - count
		b, err := j.read(from, count)
		if err != nil {
			return nil, err
		}
		for i := count - 1; i >= 0; i-- {
			if be.Uint32(b[i*sector:]) == magicRecord {
				return j.header(from + i)
			}
		}
		done += count
	}
	return nil, nil
}

// headerAfter finds the first header of a record with data behind the one at a
// sector, less than so many sectors from it.
func (j *journal) headerAfter(at, within int64) (int64, bool) {
	for i := int64(1); i < within; i++ {
		if r, err := j.header(at + i); err == nil && r.length > 0 {
			return r.at, true
		}
	}
	return 0, false
}

// header reads the header of a record and checks what the log's format bounds.
func (j *journal) header(at int64) (*recordHeader, error) {
	at = j.ring(at)
	b, err := j.read(at, 1)
	if err != nil {
		return nil, err
	}
	r := &recordHeader{
		at: at, raw: b, cycle: be.Uint32(b[4:]), headers: 1, length: int64(be.Uint32(b[12:])),
		lsn: be.Uint64(b[16:]), tail: be.Uint64(b[24:]), ops: be.Uint32(b[40:]),
	}
	version := be.Uint32(b[8:])
	if r.size = headerCover; j.f.logV2 && version&2 != 0 {
		r.size = max(headerCover, int64(be.Uint32(b[320:])))
		r.headers = (r.size + headerCover - 1) / headerCover
	}
	id := b[304:320]
	switch {
	case be.Uint32(b) != magicRecord:
		return nil, broken("no record begins at sector %d", at)
	case version == 0 || version&^3 != 0:
		return nil, unsupported("the log is of version %d", version)
	case r.length > maxRecord || r.headers > maxRecord/headerCover || r.sectors() > j.n:
		return nil, broken("the record at sector %d has %d bytes behind %d headers", at, r.length, r.headers)
	case !bytes.Equal(id, j.f.uuid) && !bytes.Equal(id, make([]byte, 16)):
		return nil, broken("the record at sector %d belongs to another file system, %x", at, id)
	}
	return r, nil
}
