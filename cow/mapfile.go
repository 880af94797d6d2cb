package cow

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/RoaringBitmap/roaring/v2"
	"golang.org/x/sys/unix"
)

// layerMap is what a map file says.
type layerMap struct {
	header
	seal
	held, zero *roaring.Bitmap

	frames  uint64 // valid frames: where the next one goes
	records uint32 // valid records
	torn    bool   // a record that no Sync has waited for lies after them
}

// blockCount returns the number of blocks of a device, the last perhaps short.
func blockCount(size int64) uint64 { return uint64((size + BlockSize - 1) / BlockSize) }

// apply adds what a record says: blocks newly held, blocks newly zero. The
// bitmaps stay the caller's.
func (m *layerMap) apply(held, zero *roaring.Bitmap) {
	m.held.Or(held)
	m.held.AndNot(zero)
	m.zero.Or(zero)
	m.zero.AndNot(held)
}

// readMap reads and checks a map file. A record that a crash cut short ends
// it; everything else that is not right is a DamageError.
func readMap(path string) (*layerMap, error) {
	f, err := openRaw(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// In one piece of the file's length: these are megabytes, and growing the
	// slice would take their multiple. What is appended meanwhile is missed.
	b := make([]byte, fi.Size())
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return parseMap(path, b[:n])
}

// readHeader reads and checks the first record of a map file alone.
func readHeader(path string) (header, error) {
	f, err := openRaw(path, unix.O_RDONLY)
	if err != nil {
		return header{}, err
	}
	defer f.Close()
	var b [frameSize]byte
	n, err := io.ReadFull(f, b[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return header{}, err
	}
	return parseHeader(path, b[:n])
}

// parseHeader takes the header from the beginning of a map file.
func parseHeader(path string, b []byte) (header, error) {
	if len(b) < frameSize {
		return header{}, &DamageError{path, 0, fmt.Sprintf("the file has only %d bytes", len(b))}
	}
	first, err := decodeFrame(nil, b[:frameSize], 0)
	if err != nil {
		return header{}, &DamageError{path, 0, err.Error()}
	}
	if first.typ != recHeader || first.flags != flagFirst|flagLast || first.record != 0 {
		return header{}, &DamageError{path, 0, "not the header of a layer"}
	}
	h, err := decodeHeader(first.payload)
	if err != nil {
		return header{}, &DamageError{path, 0, err.Error()}
	}
	return h, nil
}

func parseMap(path string, b []byte) (*layerMap, error) {
	damaged := func(frame uint64, format string, args ...any) error {
		return &DamageError{path, int64(frame) * frameSize, fmt.Sprintf(format, args...)}
	}
	h, err := parseHeader(path, b)
	if err != nil {
		return nil, err
	}
	m := &layerMap{header: h, held: roaring.New(), zero: roaring.New(), frames: 1, records: 1}
	total := uint64(len(b)) / frameSize
	if total < h.whole {
		return nil, damaged(total, "the file ends here, after %d of %d frames", total, h.whole)
	}
	if h.sealed && uint64(len(b)) != h.whole*frameSize {
		return nil, damaged(h.whole, "something follows the end of a sealed layer")
	}
	var payload []byte
	start := uint64(1) // first frame of the record being read
	var sealedAt bool
	for n := uint64(1); n < total; n++ {
		raw := b[n*frameSize : (n+1)*frameSize]
		if n >= h.whole && isBlank(raw) {
			if err := checkTail(m, b, n, total, damaged); err != nil {
				return nil, err
			}
			m.torn = true
			return m, nil
		}
		fr, err := decodeFrame(h.salt[:], raw, n)
		if err != nil {
			return nil, damaged(n, "%v", err)
		}
		if fr.record != m.records {
			return nil, damaged(n, "this is record %d, record %d should be here", fr.record, m.records)
		}
		if (fr.flags&flagFirst != 0) != (n == start) || fr.flags > flagFirst|flagLast {
			return nil, damaged(n, "the frame is out of place in its record")
		}
		if payload == nil { // the first record is the longest, mostly
			payload = make([]byte, 0, (max(h.whole, n+1)-n)*framePayload)
		}
		payload = append(payload, fr.payload...)
		if fr.flags&flagLast == 0 {
			if len(fr.payload) != framePayload {
				return nil, damaged(n, "a frame that is not full amid its record")
			}
			continue
		}
		switch {
		case sealedAt:
			return nil, damaged(start, "a record after the seal")
		case fr.typ == recState && m.records == 1, fr.typ == recDelta && m.records > 1 && !h.sealed:
			held, zero, err := decodeBlocks(payload, blockCount(h.size))
			if err != nil {
				return nil, damaged(start, "%v", err)
			}
			if m.records == 1 {
				m.held, m.zero = held, zero
			} else {
				m.apply(held, zero)
			}
		case fr.typ == recSeal && h.sealed && m.records == 2:
			if m.seal, err = decodeSeal(payload); err != nil {
				return nil, damaged(start, "%v", err)
			}
			sealedAt = true
		default:
			return nil, damaged(start, "a record of type %d is not expected here", fr.typ)
		}
		m.records++
		m.frames, start, payload = n+1, n+1, payload[:0]
	}
	switch {
	case m.frames < h.whole || m.records < 2:
		return nil, damaged(m.frames, "the record that begins here has no end")
	case h.sealed && !sealedAt:
		return nil, damaged(m.frames, "a sealed layer without its seal")
	}
	m.torn = uint64(len(b)) > m.frames*frameSize
	return m, nil
}

// checkTail looks at what follows the first blank frame n. One Sync waits for
// its record before the next is appended, so a crash leaves at most one record
// unfinished, and nothing but parts of it after the blank.
func checkTail(m *layerMap, b []byte, n, total uint64, damaged func(uint64, string, ...any) error) error {
	for k := n + 1; k < total; k++ {
		raw := b[k*frameSize : (k+1)*frameSize]
		if isBlank(raw) {
			continue
		}
		fr, err := decodeFrame(m.salt[:], raw, k)
		if err != nil {
			return damaged(k, "%v", err)
		}
		if fr.record != m.records {
			return damaged(n, "blank, but record %d follows at byte %d", fr.record, k*frameSize)
		}
	}
	return nil
}

// encodeMap is the whole file of a map; it updates m's frames and records. A
// new salt keeps frames of an older file from being taken for this one's.
func encodeMap(m *layerMap) ([]byte, error) {
	rand.Read(m.salt[:])
	m.held.RunOptimize()
	m.zero.RunOptimize()
	blocks, err := encodeBlocks(m.held, m.zero)
	if err != nil {
		return nil, err
	}
	// The header comes last: it counts the frames.
	file := appendRecord(make([]byte, frameSize), m.salt[:], recState, 1, 1, blocks)
	m.records = 2
	if m.sealed {
		file = appendRecord(file, m.salt[:], recSeal, 2, uint64(len(file)/frameSize), m.seal.encode())
		m.records = 3
	}
	m.frames = uint64(len(file) / frameSize)
	m.whole = m.frames
	m.torn = false
	copy(file, appendRecord(nil, nil, recHeader, 0, 0, m.header.encode()))
	return file, nil
}

// mapLog appends to the map file of a top.
type mapLog struct {
	path string
	f    *os.File
	m    *layerMap // what is on stable storage, and where the next record goes

	unnamed bool // the directory must be synced before the next append counts
}

// openLog opens the map file of a top for appending, cutting off what a crash
// left of a record.
func openLog(path string, m *layerMap) (*mapLog, error) {
	f, err := openRaw(path, unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	l := &mapLog{path: path, f: f, m: m}
	if m.torn {
		if err := l.truncate(); err != nil {
			f.Close()
			return nil, err
		}
		m.torn = false
	}
	return l, nil
}

// truncate cuts the file after its last valid record, durably: what is
// appended next must not be mixed with older remains.
func (l *mapLog) truncate() error {
	if err := l.f.Truncate(int64(l.m.frames) * frameSize); err != nil {
		return err
	}
	return datasync(l.f)
}

// append adds one record and returns when it is on stable storage; the bitmaps
// are its own then. After an error the file is as before, and append may be
// called again.
func (l *mapLog) append(held, zero *roaring.Bitmap, s *Store) error {
	blocks, err := encodeBlocks(held, zero)
	if err != nil {
		return err
	}
	if l.unnamed {
		if err := syncDir(filepath.Dir(l.path)); err != nil {
			return err
		}
		l.unnamed = false
	}
	if l.m.torn { // remains of an append that failed
		if err := l.truncate(); err != nil {
			return err
		}
		l.m.torn = false
	}
	b := appendRecord(nil, l.m.salt[:], recDelta, l.m.records, l.m.frames, blocks)
	l.m.torn = true
	if _, err := l.f.WriteAt(b, int64(l.m.frames)*frameSize); err != nil {
		return err
	}
	if err := s.hook("map-appended"); err != nil {
		return err
	}
	if err := s.datasync(l.f); err != nil {
		return err
	}
	l.m.torn = false
	l.m.frames += uint64(len(b) / frameSize)
	l.m.records++
	if l.m.held.IsEmpty() && l.m.zero.IsEmpty() {
		l.m.held, l.m.zero = held, zero
	} else {
		l.m.apply(held, zero)
	}
	return nil
}

// logSlack is the least length of the appended part, in frames, at which the
// map is written anew.
const logSlack = 128

// isLong reports whether the file is worth writing anew: when its log is
// longer than twice its full state, so that the cost stays in proportion.
func (l *mapLog) isLong() bool {
	return l.m.frames-l.m.whole > max(logSlack, 2*l.m.whole)
}

// rewrite replaces the file by one that holds the present state in one record.
// The old file stays in use when that fails. A failure to make the new name
// durable is kept for the next append to repair: until then a crash may bring
// back the old file, which is as good.
func (l *mapLog) rewrite(hook func(string) error) error {
	m := *l.m
	b, err := encodeMap(&m)
	if err != nil {
		return err
	}
	f, err := replaceFile(l.path, b, func() error { return hook("map-rewritten") })
	if f == nil {
		return err
	}
	l.f.Close()
	l.f, *l.m = f, m
	l.unnamed = err != nil
	return err
}
