package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"

	"github.com/snapview/snapview/snapshot"
)

// Layout of WAL pages and records (access/xlog_internal.h, access/xlogrecord.h).
const (
	pageHeader     = 24 // SizeOfXLogShortPHD
	longPageHeader = 40 // SizeOfXLogLongPHD, at the beginning of a segment
	recordHeader   = 24 // SizeOfXLogRecord
	recordCRC      = 20 // offset of xl_crc: the header before it is summed
	maxRecord      = 1 << 30

	pageContinues   = 0x0001 // XLP_FIRST_IS_CONTRECORD
	pageLong        = 0x0002 // XLP_LONG_HEADER
	pageOverwritten = 0x0008 // XLP_FIRST_IS_OVERWRITE_CONTRECORD

	resourceXLOG = 0    // RM_XLOG_ID
	switchInfo   = 0x40 // XLOG_SWITCH: the rest of the segment is unused
)

// errOverwritten: the record was never finished; its server crashed, and went
// on after it.
var errOverwritten = errors.New("record overwritten")

// checkWAL reads every record of a range and compares its checksum. It returns
// how many there are, and what is wrong with the first that is.
func checkWAL(ctx context.Context, s *snapshot.Snapshot, w snapshot.WALRange, progress func(int64)) (records int64, err error) {
	id := s.Identity
	r := &walReader{
		tree: s.Tree, timeline: w.Timeline, segment: snapshot.LSN(id.WALSegmentSize),
		block: snapshot.LSN(id.WALBlockSize), system: id.SystemID, page: make([]byte, id.WALBlockSize), at: w.Start,
	}
	defer r.close()
	told := w.Start
	for r.at < w.End {
		if records%256 == 0 {
			if err := ctx.Err(); err != nil {
				return records, err
			}
		}
		if err := r.record(); err != nil {
			return records, err
		}
		records++
		if r.at > told {
			progress(int64(min(r.at, w.End) - told))
			told = min(r.at, w.End)
		}
	}
	return records, nil
}

// walReader walks over the records of one timeline.
type walReader struct {
	tree     snapshot.Tree
	timeline uint32
	segment  snapshot.LSN // size
	block    snapshot.LSN // size
	system   uint64

	file     io.ReaderAt
	closer   io.Closer
	name     string       // of file
	start    snapshot.LSN // of file
	page     []byte
	loaded   bool
	pageAt   snapshot.LSN // of page
	at       snapshot.LSN
	previous snapshot.LSN // the record before; 0: not known
}

func (r *walReader) close() {
	if r.closer != nil {
		r.closer.Close() //nolint:errcheck // it was only read
	}
}

// load brings the page that at lies on.
func (r *walReader) load() error {
	page := r.at - r.at%r.block
	if r.loaded && page == r.pageAt {
		return nil
	}
	start := r.at - r.at%r.segment
	if r.file == nil || start != r.start {
		r.close()
		r.file, r.closer = nil, nil
		r.name = snapshot.SegmentName(r.timeline, r.at, int(r.segment))
		f, err := r.tree.Open(path.Join("data/pg_wal", r.name))
		if err != nil {
			return fmt.Errorf("WAL segment %s is needed and is missing: %w", r.name, err)
		}
		file, ok := f.(io.ReaderAt)
		if !ok {
			return fmt.Errorf("WAL segment %s cannot be read at random", r.name)
		}
		r.file, r.closer, r.start = file, f, start
	}
	if n, err := r.file.ReadAt(r.page, int64(page-start)); n < len(r.page) {
		return fmt.Errorf("WAL segment %s ends at %s: %w", r.name, page+snapshot.LSN(n), err)
	}
	r.loaded, r.pageAt = true, page
	le := binary.LittleEndian
	magic, addr := le.Uint16(r.page), snapshot.LSN(le.Uint64(r.page[8:]))
	switch {
	case magic>>8 != 0xD0 && magic>>8 != 0xD1 || addr != page:
		return fmt.Errorf("WAL segment %s: the page at %s is none, or another one (magic %#x, address %s)", r.name, page, magic, addr)
	case r.info()&pageLong != 0 && le.Uint64(r.page[24:]) != r.system:
		return fmt.Errorf("WAL segment %s is of system %d, the backup of system %d", r.name, le.Uint64(r.page[24:]), r.system)
	}
	return nil
}

func (r *walReader) info() uint16 { return binary.LittleEndian.Uint16(r.page[2:]) }

func (r *walReader) header() snapshot.LSN {
	if r.info()&pageLong != 0 {
		return longPageHeader
	}
	return pageHeader
}

// record reads the record at r.at, or the first after the header of a page
// that begins there, and moves behind it.
func (r *walReader) record() error {
	if err := r.load(); err != nil {
		return err
	}
	if r.at == r.pageAt {
		r.at += r.header()
	}
	start := r.at
	// A record's length is on its first page: records begin at multiples of 8.
	if start%8 != 0 || start-r.pageAt+4 > r.block {
		return fmt.Errorf("WAL segment %s: no record can begin at %s", r.name, start)
	}
	length := int64(binary.LittleEndian.Uint32(r.page[start-r.pageAt:]))
	if length < recordHeader || length > maxRecord {
		return fmt.Errorf("WAL segment %s: the record at %s has a length of %d: the log ends there, or is damaged", r.name, start, length)
	}
	var header [recordHeader]byte
	sum, got := uint32(0), int64(0)
	for got < length {
		b, err := r.bytes(length-got, got > 0)
		if errors.Is(err, errOverwritten) {
			return nil
		}
		if err != nil {
			return err
		}
		if got < recordHeader {
			n := copy(header[got:], b)
			got, b = got+int64(n), b[n:]
		}
		sum = crc32.Update(sum, castagnoli, b)
		got += int64(len(b))
	}
	le := binary.LittleEndian
	sum = crc32.Update(sum, castagnoli, header[:recordCRC])
	if want := le.Uint32(header[recordCRC:]); sum != want {
		return fmt.Errorf("WAL segment %s: the record at %s has checksum %08x, recorded %08x", r.name, start, sum, want)
	}
	if prev := snapshot.LSN(le.Uint64(header[8:])); r.previous != 0 && prev != r.previous {
		return fmt.Errorf("WAL segment %s: the record at %s follows one at %s, it says, not that at %s", r.name, start, prev, r.previous)
	}
	r.previous = start
	r.at = (r.at + 7) &^ 7
	if header[17] == resourceXLOG && header[16]&0xF0 == switchInfo {
		r.at = (r.at + r.segment - 1) / r.segment * r.segment
	}
	return nil
}

// bytes returns up to n bytes of a record from r.at on, as many as are on the
// page, and moves behind them. inside: they are not the record's first.
func (r *walReader) bytes(n int64, inside bool) ([]byte, error) {
	if err := r.load(); err != nil {
		return nil, err
	}
	if r.at == r.pageAt {
		rest := int64(binary.LittleEndian.Uint32(r.page[16:]))
		switch {
		case r.info()&pageOverwritten != 0 && inside:
			r.previous = 0
			return nil, errOverwritten
		case r.info()&pageContinues == 0 || rest != n:
			return nil, fmt.Errorf("WAL segment %s: the page at %s does not continue the record before it", r.name, r.pageAt)
		}
		r.at += r.header()
	}
	off := int64(r.at - r.pageAt)
	b := r.page[off:min(off+n, int64(r.block))]
	r.at += snapshot.LSN(len(b))
	return b, nil
}
