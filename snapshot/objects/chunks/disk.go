package chunks

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A file of the cache, little-endian:
//
//	0     magic
//	8     SHA-256 that names the object's version
//	40    u64  which part of the object this is
//	512   u64  checksum of each chunk, 0 if it is not there
//	4096  the chunks, each at its place
const (
	magic      = "SVCHUNK1"
	perPart    = 256 // chunks in a file: 16 MiB
	tableAt    = 512
	dataAt     = 4096
	partSuffix = ".snapview-chunks"

	// A file that is read is marked as used when the mark is older.
	markEvery = time.Minute
	// After a failed write none is tried for this time.
	writeHoliday = time.Minute
)

// A disk is the directory of chunks that processes share.
type disk struct {
	dir    string
	limit  int64
	notice func(string)

	written   atomic.Int64 // since the directory was last measured
	measured  atomic.Bool  // once by this process
	evicting  sync.Mutex
	beginning sync.Mutex   // held while a part is made
	rest      atomic.Int64 // time until which nothing is written, Unix ns
}

type version = [sha256.Size]byte

func (d *disk) name(v version, part int64) string {
	return filepath.Join(d.dir, hex.EncodeToString(v[:16]), strconv.FormatInt(part, 10)+partSuffix)
}

// header returns what a file must begin with.
func header(v version, part int64) []byte {
	b := append([]byte(magic), v[:]...)
	return binary.LittleEndian.AppendUint64(b, uint64(part))
}

// sum is the checksum of a chunk, bound to its place; never 0.
func sum(n int64, data []byte) uint64 {
	var h xxhash.Digest
	h.ResetWithSeed(uint64(n))
	_, _ = h.Write(data) // cannot fail
	return max(h.Sum64(), 1)
}

// A partReader reads chunks of one object; it keeps the file of the last one
// open.
type partReader struct {
	d    *disk
	v    version
	part int64
	f    *os.File
	none bool // there is no such file
}

func (d *disk) reader(v version) *partReader { return &partReader{d: d, v: v, part: -1} }

func (r *partReader) close() {
	if r.f != nil {
		_ = r.f.Close() // only read
		r.f = nil
	}
}

// chunk returns chunk n, which has size bytes, nil if it is not there whole.
func (r *partReader) chunk(n int64, size int) []byte {
	if part := n / perPart; part != r.part {
		r.close()
		r.part = part
		r.f, r.none = r.d.open(r.v, part)
	}
	if r.none {
		return nil
	}
	var want [8]byte
	at := n % perPart
	if _, err := r.f.ReadAt(want[:], tableAt+8*at); err != nil {
		return nil
	}
	mark := binary.LittleEndian.Uint64(want[:])
	if mark == 0 {
		return nil
	}
	data := make([]byte, size)
	if _, err := r.f.ReadAt(data, dataAt+chunkSize*at); err != nil || sum(n, data) != mark {
		return nil // half written, or damaged: it is fetched and written again
	}
	return data
}

// open opens a part for reading.
func (d *disk) open(v version, part int64) (f *os.File, none bool) {
	f, err := os.Open(d.name(v, part))
	if err != nil {
		return nil, true
	}
	head := make([]byte, len(header(v, part)))
	if _, err := f.ReadAt(head, 0); err != nil || !bytes.Equal(head, header(v, part)) {
		_ = f.Close() // only read
		return nil, true
	}
	if info, err := f.Stat(); err == nil && time.Since(info.ModTime()) > markEvery {
		now := time.Now()
		_ = os.Chtimes(f.Name(), now, now) // without it the file only goes earlier
	}
	return f, false
}

// write keeps chunks from first on. What cannot be written is not kept; the
// reader has it already.
func (d *disk) write(v version, first int64, chunks [][]byte) {
	if time.Now().UnixNano() < d.rest.Load() {
		return
	}
	for len(chunks) > 0 {
		part := first / perPart
		n := min(int64(len(chunks)), (part+1)*perPart-first)
		if err := d.writePart(v, part, first, chunks[:n]); err != nil {
			d.rest.Store(time.Now().Add(writeHoliday).UnixNano())
			if d.notice != nil {
				d.notice(fmt.Sprintf("the cache of what was fetched cannot be written, reading goes on without: %v", err))
			}
			return
		}
		for _, c := range chunks[:n] {
			d.written.Add(int64(len(c)))
		}
		first, chunks = first+n, chunks[n:]
	}
	d.evictIfDue()
}

func (d *disk) writePart(v version, part, first int64, chunks [][]byte) (err error) {
	name := d.name(v, part)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := d.begin(f, header(v, part)); err != nil {
		return err
	}
	marks := make([]byte, 0, 8*len(chunks))
	at := first % perPart
	for i, c := range chunks {
		if _, err := f.WriteAt(c, dataAt+chunkSize*(at+int64(i))); err != nil {
			return err
		}
		marks = binary.LittleEndian.AppendUint64(marks, sum(first+int64(i), c))
	}
	_, err = f.WriteAt(marks, tableAt+8*at)
	return err
}

// begin makes a file that is new, or not ours, an empty part. Two writers of one
// process must not both do it: the later one would wipe what the other has
// written since. With another process that may happen; what is lost is fetched
// again.
func (d *disk) begin(f *os.File, head []byte) error {
	d.beginning.Lock()
	defer d.beginning.Unlock()
	have := make([]byte, len(head))
	if _, err := f.ReadAt(have, 0); err == nil && bytes.Equal(have, head) {
		return nil
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt(head, 0); err != nil {
		return err
	}
	return f.Truncate(dataAt)
}
