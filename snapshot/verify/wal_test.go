package verify

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// archive is a WAL archive as a snapshot's pg_wal.
func archive(t testing.TB, dir string, change func(name string, text []byte) []byte) *snapshot.Snapshot {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := snapshot.NewBuilder()
	var system uint64
	for _, e := range list {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if len(text) == 1<<20 {
			system = binary.LittleEndian.Uint64(text[24:])
		}
		if text = change(e.Name(), text); text == nil {
			continue
		}
		if err := b.File("data/pg_wal/"+e.Name(), int64(len(text)), snapshot.Bytes(text), snapshot.Meta{}); err != nil {
			t.Fatal(err)
		}
	}
	return &snapshot.Snapshot{Tree: b.Tree(), Identity: snapshot.Identity{WALSegmentSize: 1 << 20, WALBlockSize: 8192, SystemID: system}}
}

func keepAll(_ string, text []byte) []byte { return text }

// The range goes over many pages and several segments, with switches between
// them; pg_waldump counts the same records.
func TestCheckWAL_RecordsOverPagesAndSegments(t *testing.T) {
	dir := filepath.Join(snapshottest.Unpack(t, "pg15/pg15-archive.tar.zst"), "archive")
	w := snapshot.WALRange{Timeline: 1, Start: 0x1400028, End: 0x1800000}
	var told int64
	n, err := checkWAL(t.Context(), archive(t, dir, keepAll), w, func(n int64) { told += n })
	if err != nil {
		t.Fatal(err)
	}
	if told != int64(w.End-w.Start) {
		t.Errorf("progress of %d bytes of %d", told, w.End-w.Start)
	}
	dump := "/usr/lib/postgresql/15/bin/pg_waldump"
	_, err = os.Stat(dump)
	snapshottest.Need(t, err == nil, "pg_waldump of PostgreSQL 15")
	out := snapshottest.Run(t, dir, dump, "-p", dir, "-t", "1", "-s", w.Start.String(), "-e", w.End.String())
	if want := int64(strings.Count(out, "rmgr: ")); n != want || n < 100 {
		t.Errorf("%d records, pg_waldump shows %d", n, want)
	}
}

func TestCheckWAL_FindsDamage(t *testing.T) {
	const damaged = "000000010000000000000015"
	dir := filepath.Join(snapshottest.Unpack(t, "pg15/pg15-archive.tar.zst"), "archive")
	w := snapshot.WALRange{Timeline: 1, Start: 0x1400028, End: 0x1600000}
	for name, c := range map[string]struct {
		change func([]byte) []byte
		says   string
	}{
		"a flipped bit in a record": {func(b []byte) []byte { b[8192+3000] ^= 1; return b }, "0/150"},
		"a segment missing":         {func([]byte) []byte { return nil }, "missing"},
		"a segment cut short":       {func(b []byte) []byte { return b[:20000] }, "ends at"},
		"a segment of zeros":        {func(b []byte) []byte { return make([]byte, len(b)) }, "is none"},
		"another system's segment":  {func(b []byte) []byte { b[24] ^= 1; return b }, "is of system"},
	} {
		s := archive(t, dir, func(name string, text []byte) []byte {
			if name == damaged {
				return c.change(text)
			}
			return text
		})
		_, err := checkWAL(t.Context(), s, w, func(int64) {})
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), damaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever a segment holds, reading it ends.
func FuzzCheckWAL(f *testing.F) {
	page := make([]byte, 3*8192)
	for at, info := range map[int]uint16{0: pageLong, 8192: 0, 16384: pageContinues} {
		binary.LittleEndian.PutUint16(page[at:], 0xD110)
		binary.LittleEndian.PutUint16(page[at+2:], info)
		binary.LittleEndian.PutUint64(page[at+8:], uint64(0x100000+at))
	}
	binary.LittleEndian.PutUint32(page[40:], 9000)
	f.Add(page, uint64(0x100028), uint64(0x106000))
	f.Add(page, uint64(0x100000), ^uint64(0))
	f.Fuzz(func(t *testing.T, text []byte, start, end uint64) {
		b := snapshot.NewBuilder()
		if err := b.File("data/pg_wal/000000010000000000000001", int64(len(text)), snapshot.Bytes(text), snapshot.Meta{}); err != nil {
			t.Fatal(err)
		}
		s := &snapshot.Snapshot{Tree: b.Tree(), Identity: snapshot.Identity{WALSegmentSize: 1 << 20, WALBlockSize: 8192}}
		w := snapshot.WALRange{Timeline: 1, Start: snapshot.LSN(start), End: snapshot.LSN(end)}
		if n, err := checkWAL(t.Context(), s, w, func(int64) {}); err == nil && start < end && n == 0 {
			t.Errorf("nothing was read from %s to %s", w.Start, w.End)
		}
	})
}
