package cow

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sim drives an overlay with random operations beside a model of its bytes, and
// now and then takes the power away. What a disk then holds is made up from
// what was durable and what was not: of every sector written since, the old or
// the new.
type sim struct {
	t     testing.TB
	rnd   *rand.Rand
	dir   string // of the test
	lives int

	base  Base
	store *Store
	o     *Overlay
	model []byte
	// since has, for each sector, what it held at the last Sync and after
	// each write since: the bytes that it may have after a crash.
	since [][][]byte
	// sealed has what each checkpoint's disk must hold.
	sealed map[LayerID][]byte
	order  []LayerID // of sealed, so that a seed does the same each time
	// What is durable of the top's two files: what they were when they were
	// synced last.
	durableData, durableMap []byte

	steps   int    // hooks until the power fails; negative: not during this operation
	failAt  string // or the hook where it fails
	image   string // the disk as the crash left it, when it happened
	crashes map[string]int
}

const sectorSize = 512

func newSim(t testing.TB, seed uint64) *sim {
	m := &sim{t: t, rnd: newRand(seed), dir: fastDir(t), sealed: make(map[LayerID][]byte), crashes: make(map[string]int)}
	size := 512<<10 + m.rnd.IntN(2)*1000
	m.base, m.model = testBase(size)
	m.model = bytes.Clone(m.model)
	s, err := CreateStore(filepath.Join(m.dir, "0"), StoreOptions{BaseID: m.base.ID, VirtualSize: int64(size)})
	must(t, err)
	m.start(s, func() (*Overlay, error) { return s.NewTop(LayerID{}, m.base, noHeadroom) })
	return m
}

// fastDir is a directory in memory where there is one: the model decides what
// is durable, the disk needs not.
func fastDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "snapview-cow-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// start begins a life of the process: everything on the disk is durable.
func (m *sim) start(s *Store, open func() (*Overlay, error)) {
	m.t.Helper()
	m.store = s
	o, err := open()
	must(m.t, err)
	m.o = o
	m.steps, m.failAt, m.image = -1, "", ""
	s.hook = m.step
	s.datasync = func(f *os.File) error {
		switch f.Name() {
		case m.o.data.f.Name():
			m.durableData = m.read(f.Name())
		case m.o.log.path:
			m.durableMap = m.read(f.Name())
		}
		return nil
	}
	m.settle()
	m.synced()
}

// settle notes that the top's files are durable as they are.
func (m *sim) settle() {
	m.durableData = m.read(m.store.dataPath(m.o.Top()))
	m.durableMap = m.read(m.store.mapPath(m.o.Top()))
}

func (m *sim) read(path string) []byte {
	b, err := os.ReadFile(path)
	must(m.t, err)
	return b
}

// synced notes that the disk may show nothing older than the model.
func (m *sim) synced() {
	m.since = make([][][]byte, (len(m.model)+sectorSize-1)/sectorSize)
	m.wrote(0, len(m.model))
}

func (m *sim) wrote(off, n int) {
	for k := off / sectorSize; k*sectorSize < off+n; k++ {
		m.since[k] = append(m.since[k], bytes.Clone(m.model[k*sectorSize:min((k+1)*sectorSize, len(m.model))]))
	}
}

// step is the store's hook.
func (m *sim) step(name string) error {
	if m.image != "" {
		return errCrash // dead already
	}
	if m.steps == 0 || name == m.failAt {
		m.crashes[name]++
		m.losePower()
		return errCrash
	}
	m.steps--
	return nil
}

// losePower makes the image of the disk that a crash at this moment leaves.
func (m *sim) losePower() {
	m.lives++
	m.image = filepath.Join(m.dir, fmt.Sprint(m.lives))
	must(m.t, os.CopyFS(m.image, os.DirFS(m.store.Dir())))
	// The overlay's own idea of its top: Checkpoint may be half done.
	data, mapFile := m.o.data.f.Name(), m.o.log.path
	cur := m.read(data)
	for off := 0; off < len(cur); off += sectorSize {
		if m.rnd.IntN(2) == 0 {
			copy(cur[off:off+sectorSize], m.durableData[off:])
		}
	}
	m.put(data, cur)
	if cur = m.read(mapFile); bytes.HasPrefix(cur, m.durableMap) {
		for off := len(m.durableMap); off < len(cur); off += frameSize {
			if m.rnd.IntN(3) == 0 {
				clear(cur[off:min(off+frameSize, len(cur))])
			}
		}
		if m.rnd.IntN(2) == 0 {
			cur = cur[:len(m.durableMap)+m.rnd.IntN(len(cur)-len(m.durableMap)+1)]
		}
		m.put(mapFile, cur)
	}
}

func (m *sim) put(path string, b []byte) {
	must(m.t, os.WriteFile(filepath.Join(m.image, layersDir, filepath.Base(path)), b, 0o600))
}

// recover opens what the crash left and checks it.
func (m *sim) recover() {
	m.t.Helper()
	old := m.o.ids[len(m.o.ids)-1]
	m.o.Close()
	os.RemoveAll(m.store.Dir())
	s, err := OpenStore(m.image)
	must(m.t, err)
	layers, err := s.Layers()
	must(m.t, err)
	var top LayerInfo
	for _, l := range layers {
		if l.Damage != "" {
			m.t.Fatalf("after a crash: %s", l.Damage)
		}
		if l.ID == old {
			top = l
		}
	}
	if top.ID != old {
		m.t.Fatalf("after a crash the top %s is gone", old)
	}
	m.start(s, func() (*Overlay, error) {
		if !top.Sealed {
			return s.Open(top.ID, m.base, noHeadroom)
		}
		m.seal(top.ID) // checkpoints begin with a Sync
		if len(top.Children) > 0 {
			return s.Open(top.Children[0], m.base, noHeadroom)
		}
		return s.NewTop(top.ID, m.base, noHeadroom)
	})
}

// checkAfterCrash compares the disk with what the rule allows, and goes on from
// what it finds.
func (m *sim) checkAfterCrash(since [][][]byte) {
	m.t.Helper()
	got := readAll(m.t, m.o)
	for k, allowed := range since {
		sector := got[k*sectorSize : min((k+1)*sectorSize, len(got))]
		ok := false
		for _, a := range allowed {
			ok = ok || bytes.Equal(a, sector)
		}
		if !ok {
			m.t.Fatalf("after a crash sector %d (block %d) is neither as of the last Sync nor as written later (%d versions)",
				k, k/8, len(allowed))
		}
	}
	m.model = got
	m.synced()
	m.checkSealed()
	// What is not held takes no space.
	cur := m.read(m.o.data.f.Name())
	for b := range m.o.m.blocks {
		if src, _ := m.o.m.span(b, 1); src != m.o.top && !isBlank(cur[b*BlockSize:(b+1)*BlockSize]) {
			m.t.Fatalf("block %d has data that nobody holds", b)
		}
	}
}

func (m *sim) checkSealed() {
	m.t.Helper()
	for id, want := range m.sealed {
		wantView(m.t, m.store, id, m.base, want)
	}
}

// op does one operation; the power may fail in it.
func (m *sim) op() {
	size := len(m.model)
	off := m.rnd.IntN(size)
	n := min(1+m.rnd.IntN(20_000), size-off)
	switch m.rnd.IntN(4) {
	case 0:
		off = off / BlockSize * BlockSize
		n = min((1+m.rnd.IntN(5))*BlockSize, size-off)
	case 1:
		n = min(1+m.rnd.IntN(100), size-off)
	}
	m.steps = -1
	if m.rnd.IntN(3) == 0 {
		m.steps = m.rnd.IntN(6)
	}
	var err error
	synced := false
	switch k := m.rnd.IntN(100); {
	case k < 50:
		p := randomBytes(m.rnd, n)
		if m.rnd.IntN(4) == 0 {
			clear(p[n/3:])
		}
		write(m.t, m.o, m.model, p, int64(off))
		m.wrote(off, n)
	case k < 65:
		zero(m.t, m.o, m.model, int64(off), int64(n))
		m.wrote(off, n)
	case k < 85:
		err = m.o.Sync()
		synced = err == nil
	case k < 90:
		var id LayerID
		if id, err = m.o.Checkpoint(fmt.Sprint("c", len(m.sealed))); err == nil {
			m.seal(id)
			m.settle()
			synced = true
		}
	case k < 94:
		m.merge()
	case k < 96 && m.image == "":
		_, err = m.store.GC()
	case k < 98:
		m.fork()
	default:
		wantBytes(m.t, "disk", readAll(m.t, m.o), m.model)
	}
	if m.image == "" && m.rnd.IntN(40) == 0 {
		m.crashes["between operations"]++
		m.losePower()
	}
	if m.image != "" {
		since := m.since
		m.recover()
		m.checkAfterCrash(since)
		return
	}
	must(m.t, err)
	if synced {
		m.synced()
	}
}

func (m *sim) seal(id LayerID) {
	m.sealed[id] = bytes.Clone(m.model)
	m.order = append(m.order, id)
}

// merge folds a checkpoint's parent into it, if it can.
func (m *sim) merge() {
	if m.steps >= 0 {
		m.steps, m.failAt = -1, []string{"merge-copied", "merge-data", "merge-map", "merge-done"}[m.rnd.IntN(4)]
	}
	defer func() { m.failAt = "" }()
	layers, err := m.store.Layers()
	must(m.t, err)
	for _, l := range layers {
		if !l.Sealed || l.Parent.IsBase() || m.rnd.IntN(2) == 0 {
			continue
		}
		switch err := m.store.Merge(context.Background(), l.ID, nil); {
		case err == nil:
			delete(m.sealed, l.Parent)
			m.checkSealed()
		case m.image == "":
			if !strings.Contains(err.Error(), "other layers above") {
				m.t.Fatal(err)
			}
		default:
			// Either the map was replaced, and the parent may go, or not.
			s, err := OpenStore(m.image)
			must(m.t, err)
			if c, err := s.readLayer(l.ID); err == nil && c.parent != l.Parent {
				delete(m.sealed, l.Parent)
				_, err = s.readLayer(l.Parent)
				if err == nil {
					must(m.t, s.Discard(l.Parent))
				}
			}
		}
		return
	}
}

// fork goes on from an earlier checkpoint.
func (m *sim) fork() {
	m.steps = -1
	for i := range m.order {
		id := m.order[(i+m.rnd.IntN(len(m.order)))%len(m.order)]
		want, ok := m.sealed[id]
		if !ok {
			continue
		}
		must(m.t, m.o.Close())
		m.model = bytes.Clone(want)
		m.start(m.store, func() (*Overlay, error) { return m.store.NewTop(id, m.base, noHeadroom) })
		return
	}
}

func runModel(t testing.TB, seed uint64, ops int) map[string]int {
	m := newSim(t, seed)
	for range ops {
		m.op()
	}
	wantBytes(t, "disk at the end", readAll(t, m.o), m.model)
	must(t, m.o.Close())
	os.RemoveAll(m.dir)
	return m.crashes
}

// TestModel_CrashesLoseNothingThatWasSynced runs for a bounded number of
// operations, or for SNAPVIEW_MODEL_TIME (a duration) with new seeds.
func TestModel_CrashesLoseNothingThatWasSynced(t *testing.T) {
	crashes := make(map[string]int)
	run := func(seed uint64, ops int) {
		ok := t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			for k, n := range runModel(t, seed, ops) {
				crashes[k] += n
			}
		})
		if !ok {
			t.FailNow()
		}
	}
	if d, err := time.ParseDuration(os.Getenv("SNAPVIEW_MODEL_TIME")); err == nil {
		for end := time.Now().Add(d); time.Now().Before(end); {
			run(rand.Uint64(), 500)
		}
	} else {
		for seed := range uint64(4) {
			run(seed, 500)
		}
	}
	t.Logf("crashes: %v", crashes)
	for _, step := range []string{"between operations", "data-synced", "map-appended", "map-sealed", "top-data-created", "top-created", "merge-copied", "merge-data", "merge-map", "merge-done"} {
		if crashes[step] == 0 {
			t.Errorf("no crash at %q: the test does not test", step)
		}
	}
}

func FuzzModel(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { runModel(t, seed, 100) })
}
