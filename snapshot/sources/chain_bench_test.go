package sources_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

const (
	pageSize   = 8192
	chainFiles = 4
	chainLen   = 8
	chainShare = 20 // one page in so many changes from one backup to the next
)

// A madeChain is a chain of backups written by this test, and the data
// directory that it stands for.
type madeChain struct {
	plain string
	refs  []string // the full backup first
}

// makeChain writes a chain of backups below dir, plain or as folders of tars,
// with so many pages in each file.
func makeChain(t testing.TB, dir string, pages int, tars bool) madeChain {
	t.Helper()
	rnd := rand.New(rand.NewPCG(8, 8))
	state := make([][]byte, chainFiles)
	for i := range state {
		state[i] = make([]byte, pages*pageSize)
		for p := 0; p < len(state[i]); p += 8 {
			binary.LittleEndian.PutUint64(state[i][p:], rnd.Uint64())
		}
	}
	name := func(i int) string { return fmt.Sprintf("base/5/%d", 20000+i) }
	c := madeChain{plain: filepath.Join(dir, "plain")}
	for gen := range chainLen {
		backup := snapshottest.NewCluster()
		backup["backup_label"] = label(string(backup["backup_label"]), gen)
		for i, data := range state {
			if gen == 0 {
				backup[name(i)] = bytes.Clone(data)
				continue
			}
			var changed []uint32
			for p := range uint32(pages) {
				if rnd.IntN(chainShare) == 0 {
					changed = append(changed, p)
					binary.LittleEndian.PutUint64(data[p*pageSize+100:], rnd.Uint64())
				}
			}
			d, base := filepath.Split(name(i))
			backup[d+"INCREMENTAL."+base] = incrementalFile(data, changed)
		}
		ref := filepath.Join(dir, "chain", fmt.Sprint(gen))
		writeCluster(t, backup, ref)
		if tars {
			tarInPlace(t, ref)
		}
		c.refs = append(c.refs, ref)
	}
	last := snapshottest.NewCluster()
	for i, data := range state {
		last[name(i)] = data
	}
	writeCluster(t, last, c.plain)
	return c
}

// label moves a label's start to that of the generation.
func label(text string, gen int) []byte {
	at := func(gen int) string { return fmt.Sprintf("0/2%02d0028", gen) }
	text = strings.Replace(text, "0/2000028", at(gen), 1)
	if gen > 0 {
		text += fmt.Sprintf("INCREMENTAL FROM LSN: %s\nINCREMENTAL FROM TLI: 1\n", at(gen-1))
	}
	return []byte(text)
}

// incrementalFile writes what PostgreSQL 17 writes of a file of which these
// pages changed.
func incrementalFile(data []byte, changed []uint32) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xd3ae1f0d)
	b = le.AppendUint32(b, uint32(len(changed)))
	b = le.AppendUint32(b, uint32(len(data)/pageSize))
	for _, p := range changed {
		b = le.AppendUint32(b, p)
	}
	b = append(b, make([]byte, (pageSize-len(b)%pageSize)%pageSize)...)
	for _, p := range changed {
		b = append(b, data[p*pageSize:(p+1)*pageSize]...)
	}
	return b
}

func writeCluster(t testing.TB, c snapshottest.Cluster, dir string) {
	t.Helper()
	for name, b := range c {
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o700))
		must(t, os.WriteFile(p, b, 0o600))
	}
}

func tarInPlace(t testing.TB, dir string) {
	t.Helper()
	list := []string{"backup_label"}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if e.Name() != "backup_label" {
			list = append(list, e.Name())
		}
	}
	snapshottest.Run(t, dir, snapshottest.Tool(t, "tar"), append([]string{"--remove-files", "-cf", "base.tar"}, list...)...)
}

// Random reads of pages and a scan, of the data directory that pg_combinebackup
// would write and of the chain that it would write it from.
func BenchmarkChain(b *testing.B) {
	snapshottest.Need(b, os.Getenv("SNAPVIEW_BENCH") != "", "SNAPVIEW_BENCH")
	const pages = 8192 // 64 MiB
	plain := makeChain(b, b.TempDir(), pages, false)
	tars := makeChain(b, b.TempDir(), pages, true)
	for _, c := range []struct{ name, ref string }{
		{"combined", plain.plain},
		{"chain", filepath.Dir(plain.refs[0])},
		{"tars", filepath.Dir(tars.refs[0])},
	} {
		s, err := openAny(c.ref)
		must(b, err)
		defer s.Close()
		files := make([]io.ReaderAt, chainFiles)
		for i := range files {
			f, err := s.Tree.Open(fmt.Sprintf("data/base/5/%d", 20000+i))
			must(b, err)
			files[i] = f.(io.ReaderAt)
		}
		page := make([]byte, pageSize)
		readPage := func(rnd *rand.Rand) {
			if _, err := files[rnd.IntN(chainFiles)].ReadAt(page, rnd.Int64N(pages)*pageSize); err != nil && err != io.EOF { //nolint:errorlint // as ReadAt gives it
				b.Fatal(err)
			}
		}
		b.Run("random/"+c.name, func(b *testing.B) {
			rnd := rand.New(rand.NewPCG(1, 1))
			for range 3 * chainFiles * pages { // warm, headers of older files read
				readPage(rnd)
			}
			b.SetBytes(pageSize)
			for b.Loop() {
				readPage(rnd)
			}
		})
		b.Run("scan/"+c.name, func(b *testing.B) {
			buf := make([]byte, 1<<20)
			b.SetBytes(chainFiles * pages * pageSize)
			for b.Loop() {
				for _, f := range files {
					for off := int64(0); off < pages*pageSize; off += int64(len(buf)) {
						if _, err := f.ReadAt(buf, off); err != nil && err != io.EOF { //nolint:errorlint // as ReadAt gives it
							b.Fatal(err)
						}
					}
				}
			}
		})
	}
}

// The chain that the benchmark makes is read right.
func TestChain_OfEight(t *testing.T) {
	c := makeChain(t, t.TempDir(), 200, false)
	s := open(t, c.refs[0], snapshot.Options{Chain: c.refs[1:]})
	defer s.Close()
	sub, err := fs.Sub(s.Tree, "data/base")
	must(t, err)
	snapshottest.Compare(t, snapshottest.Hashes(t, sub), snapshottest.Hashes(t, os.DirFS(filepath.Join(c.plain, "base"))))
}
