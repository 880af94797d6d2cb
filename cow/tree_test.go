package cow

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/snapview/snapview/block"
)

func TestStore_RefusesAnotherBase(t *testing.T) {
	b, _ := testBase(1 << 20)
	s := newTestStore(t, b)
	o := newTop(t, s, LayerID{}, b)
	id := o.Top()
	must(t, o.Close())
	s, err := OpenStore(s.Dir())
	must(t, err)
	if s.BaseID() != b.ID || s.VirtualSize() != 1<<20 {
		t.Errorf("the store is over %s of %d bytes", s.BaseID(), s.VirtualSize())
	}
	wrongID, wrongSize := b, b
	wrongID.ID[5]++
	wrongSize.Reader = block.NewMemory(1<<20 + 1)
	for _, w := range []Base{wrongID, wrongSize} {
		if _, err := s.Open(id, w, noHeadroom); !errors.Is(err, ErrWrongBase) {
			t.Errorf("Open over another base: %v", err)
		}
		if _, err := s.NewTop(LayerID{}, w, noHeadroom); !errors.Is(err, ErrWrongBase) {
			t.Errorf("NewTop over another base: %v", err)
		}
		if _, err := s.View(id, w); !errors.Is(err, ErrWrongBase) {
			t.Errorf("View over another base: %v", err)
		}
	}
	// A layer that was carried over from another store.
	other, _ := testBase(1<<20 + 4096)
	s2 := newTestStore(t, other)
	must(t, os.CopyFS(filepath.Join(s2.Dir(), layersDir), os.DirFS(filepath.Join(s.Dir(), layersDir))))
	if _, err := s2.Open(id, other, noHeadroom); !errors.Is(err, ErrWrongBase) {
		t.Errorf("Open of another store's layer: %v", err)
	}
}

func TestStore_RefusesDamage(t *testing.T) {
	b, model := testBase(1 << 20)
	s := newTestStore(t, b)
	o := newTop(t, s, LayerID{}, b)
	write(t, o, model, randomBytes(newRand(1), 100_000), 5000)
	below, err := o.Checkpoint("below")
	must(t, err)
	top := o.Top()
	must(t, o.Close())
	flip := func(path string) {
		p, err := os.ReadFile(path)
		must(t, err)
		p[len(p)-300] ^= 1
		must(t, os.WriteFile(path, p, 0o600))
	}
	flip(s.mapPath(below))
	var d *DamageError
	if _, err := s.Open(top, b, noHeadroom); !errors.As(err, &d) || d.Path != s.mapPath(below) {
		t.Errorf("Open over a damaged layer: %v", err)
	}
	layers, err := s.Layers()
	must(t, err)
	if len(layers) != 2 || layers[0].Damage == "" && layers[1].Damage == "" {
		t.Errorf("Layers does not tell of the damage: %+v", layers)
	}
	if res, err := s.GC(); err != nil || slices.Contains(res.Removed, below) {
		t.Errorf("GC removed a damaged layer: %+v, %v", res, err)
	}
	flip(s.mapPath(below))
	wantView(t, s, below, b, model)
	must(t, os.Truncate(s.dataPath(below), 4096))
	if _, err := s.View(below, b); !errors.Is(err, ErrDamaged) {
		t.Errorf("View of a layer whose data was cut: %v", err)
	}
	flip(filepath.Join(s.Dir(), storeFile))
	if _, err := OpenStore(s.Dir()); !errors.Is(err, ErrDamaged) {
		t.Errorf("OpenStore of a damaged store: %v", err)
	}
	if _, err := OpenStore(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("OpenStore of an empty directory: %v", err)
	}
	if _, err := CreateStore(s.Dir(), StoreOptions{}); err == nil {
		t.Error("CreateStore over a store succeeded")
	}
}

// branches is a store with this tree, each disk's bytes, and the overlay o on
// top of b: base - a - b - o, and a fork f over a.
type branches struct {
	base  Base
	s     *Store
	a, b  LayerID
	o, f  *Overlay
	bytes map[LayerID][]byte
}

func newBranches(t *testing.T) *branches {
	base, model := testBase(2<<20 + 500)
	model = bytes.Clone(model)
	s := newTestStore(t, base)
	x := &branches{base: base, s: s, bytes: make(map[LayerID][]byte)}
	rnd := newRand(1)
	scribble := func(o *Overlay, model []byte) {
		for range 20 {
			off := rnd.Int64N(2 << 20)
			write(t, o, model, randomBytes(rnd, 1+rnd.IntN(500)), off)
			zero(t, o, model, off/2, 1+rnd.Int64N(20_000))
		}
	}
	var err error
	x.o = newTop(t, s, LayerID{}, base)
	scribble(x.o, model)
	x.a, err = x.o.Checkpoint("a")
	must(t, err)
	x.bytes[x.a] = bytes.Clone(model)
	scribble(x.o, model)
	x.b, err = x.o.Checkpoint("b")
	must(t, err)
	x.bytes[x.b] = bytes.Clone(model)
	scribble(x.o, model)
	x.bytes[x.o.Top()] = model
	x.f = newTop(t, s, x.a, base)
	forked := bytes.Clone(x.bytes[x.a])
	scribble(x.f, forked)
	x.bytes[x.f.Top()] = forked
	must(t, x.o.Sync())
	must(t, x.f.Sync())
	return x
}

func (x *branches) check(t *testing.T, ids ...LayerID) {
	t.Helper()
	for _, id := range ids {
		wantView(t, x.s, id, x.base, x.bytes[id])
	}
	for _, o := range []*Overlay{x.o, x.f} {
		if !o.closed.Load() {
			wantBytes(t, "overlay", readAll(t, o), x.bytes[o.Top()])
		}
	}
}

func (x *branches) layers(t *testing.T) (ids []LayerID) {
	t.Helper()
	layers, err := x.s.Layers()
	must(t, err)
	for _, l := range layers {
		if l.Damage != "" {
			t.Error(l.Damage)
		}
		ids = append(ids, l.ID)
	}
	return ids
}

func TestStore_ListsLayersAsATree(t *testing.T) {
	x := newBranches(t)
	must(t, x.s.SetRef("session-1", x.b))
	layers, err := x.s.Layers()
	must(t, err)
	byID := make(map[LayerID]LayerInfo)
	for _, l := range layers {
		if _, ok := byID[l.Parent]; !ok && !l.Parent.IsBase() {
			t.Errorf("%s is listed before its parent", l.ID)
		}
		byID[l.ID] = l
	}
	a, b, top := byID[x.a], byID[x.b], byID[x.o.Top()]
	if len(layers) != 4 || a.Name != "a" || !a.Sealed || a.SealedAt.IsZero() || a.Open || a.Held == 0 || a.Zero == 0 ||
		!slices.Equal(a.Children, []LayerID{x.b, x.f.Top()}) && !slices.Equal(a.Children, []LayerID{x.f.Top(), x.b}) {
		t.Errorf("layer a is %+v", a)
	}
	if b.Parent != x.a || !slices.Equal(b.Refs, []string{"session-1"}) {
		t.Errorf("layer b is %+v", b)
	}
	if top.Parent != x.b || top.Sealed || !top.Open || top.Name != "" {
		t.Errorf("the top is %+v", top)
	}
	if id, err := x.s.Ref("session-1"); id != x.b || err != nil {
		t.Errorf("Ref = %s, %v", id, err)
	}
	x.check(t, x.a, x.b)
}

func TestStore_OpensATopOnce(t *testing.T) {
	x := newBranches(t)
	id := x.o.Top()
	other, err := OpenStore(x.s.Dir()) // as another process would
	must(t, err)
	if _, err := other.Open(id, x.base, noHeadroom); !errors.Is(err, ErrInUse) {
		t.Errorf("Open of a top that is open: %v", err)
	}
	if _, err := other.Open(x.a, x.base, noHeadroom); !errors.Is(err, ErrSealed) {
		t.Errorf("Open of a checkpoint: %v", err)
	}
	if _, err := other.NewTop(id, x.base, noHeadroom); !errors.Is(err, ErrNotSealed) {
		t.Errorf("NewTop over a top: %v", err)
	}
	if _, err := other.Open(NewLayerID(), x.base, noHeadroom); !errors.Is(err, ErrNotFound) {
		t.Errorf("Open of nothing: %v", err)
	}
	must(t, x.o.Close())
	o, err := other.Open(id, x.base, noHeadroom)
	must(t, err)
	defer o.Close()
	wantBytes(t, "overlay", readAll(t, o), x.bytes[id])
}

func TestStore_DiscardSparesWhatIsUsed(t *testing.T) {
	x := newBranches(t)
	if err := x.s.Discard(x.a); !errors.Is(err, ErrInUse) {
		t.Errorf("Discard below open overlays: %v", err)
	}
	must(t, x.s.SetRef("keep", x.b))
	must(t, x.o.Close())
	if err := x.s.Discard(x.b); !errors.Is(err, ErrInUse) {
		t.Errorf("Discard of a layer with a reference: %v", err)
	}
	x.check(t, x.a, x.b)
	must(t, x.s.SetRef("keep", LayerID{}))
	must(t, x.s.Discard(x.b))
	if got := x.layers(t); len(got) != 2 {
		t.Errorf("layers left: %v", got)
	}
	x.check(t, x.a)
	if err := x.s.Discard(x.b); !errors.Is(err, ErrNotFound) {
		t.Errorf("Discard of what is gone: %v", err)
	}
}

func TestStore_GCRemovesWhatNothingNeeds(t *testing.T) {
	x := newBranches(t)
	res, err := x.s.GC()
	must(t, err)
	if len(res.Removed) != 0 {
		t.Errorf("GC removed %v while all is needed", res.Removed)
	}
	fork := x.f.Top()
	must(t, x.f.Close())
	must(t, x.s.SetRef("later", fork))
	if res, err = x.s.GC(); err != nil || len(res.Removed) != 0 {
		t.Errorf("GC removed a layer with a reference: %v, %v", res, err)
	}
	must(t, x.s.SetRef("later", LayerID{}))
	stray := filepath.Join(x.s.Dir(), layersDir, NewLayerID().String()+datSuffix)
	must(t, os.WriteFile(stray, make([]byte, 10_000), 0o600))
	res, err = x.s.GC()
	must(t, err)
	if !slices.Equal(res.Removed, []LayerID{fork}) || res.Freed < 10_000 {
		t.Errorf("GC: %+v, should remove %s", res, fork)
	}
	if _, err := os.Stat(stray); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a stray file is left: %v", err)
	}
	must(t, x.o.Close())
	_, err = x.s.GC()
	must(t, err)
	if got := x.layers(t); !slices.Equal(got, []LayerID{x.a, x.b}) {
		t.Errorf("GC left %v, the named checkpoints are %v", got, []LayerID{x.a, x.b})
	}
	x.check(t, x.a, x.b)
}

func TestStore_RefFollowsCheckpoint(t *testing.T) {
	base, model := testBase(1 << 20)
	s := newTestStore(t, base)
	o, err := s.NewTop(LayerID{}, base, Options{Headroom: -1, Ref: "session-7"})
	must(t, err)
	defer o.Close()
	write(t, o, model, randomBytes(newRand(1), 10_000), 0)
	_, err = o.Checkpoint("")
	must(t, err)
	write(t, o, model, randomBytes(newRand(2), 10_000), 5000)
	must(t, o.Sync())
	must(t, o.Close())
	_, err = s.GC()
	must(t, err)
	id, err := s.Ref("session-7")
	must(t, err)
	o, err = s.Open(id, base, noHeadroom)
	must(t, err)
	defer o.Close()
	wantBytes(t, "overlay", readAll(t, o), model)
	for _, bad := range []string{"", "a/b", "..", "x.tmp", "a b"} {
		if s.SetRef(bad, id) == nil {
			t.Errorf("reference name %q is accepted", bad)
		}
	}
}

func TestStore_MergeKeepsEveryDisk(t *testing.T) {
	x := newBranches(t)
	if err := x.s.Merge(context.Background(), x.b, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("Merge below a fork: %v", err)
	}
	if err := x.s.Merge(context.Background(), x.a, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("Merge of the lowest layer: %v", err)
	}
	if err := x.s.Merge(context.Background(), x.o.Top(), nil); !errors.Is(err, ErrNotSealed) {
		t.Errorf("Merge of a top: %v", err)
	}
	must(t, x.f.Close())
	must(t, x.s.Discard(x.f.Top()))
	before, err := x.o.Stats()
	must(t, err)
	must(t, x.s.Merge(context.Background(), x.b, nil))
	if got := x.layers(t); !slices.Equal(got, []LayerID{x.b, x.o.Top()}) {
		t.Errorf("layers after the merge: %v", got)
	}
	x.check(t, x.b)
	// The overlay that was open reads from the merged layer.
	after, err := x.o.Stats()
	must(t, err)
	if after.Depth != 2 || after.Held != before.Held || after.Used >= before.Used || after.Allocated >= before.Allocated {
		t.Errorf("Stats before the merge %+v, after %+v", before, after)
	}
	layers, err := x.s.Layers()
	must(t, err)
	for _, l := range layers {
		if l.Allocated < l.Held || l.Allocated > l.Held+16<<10 {
			t.Errorf("layer %s holds %d bytes and has %d", l.ID, l.Held, l.Allocated)
		}
	}
	// And it goes on.
	model := x.bytes[x.o.Top()]
	write(t, x.o, model, randomBytes(newRand(8), 50_000), 1<<20)
	id, err := x.o.Checkpoint("c")
	must(t, err)
	x.bytes[id], x.bytes[x.o.Top()] = model, model
	must(t, x.s.Merge(context.Background(), id, nil))
	x.check(t, id)
	top := x.o.Top()
	must(t, x.o.Close())
	x.o, err = x.s.Open(top, x.base, noHeadroom)
	must(t, err)
	defer x.o.Close()
	x.check(t, id)
}

func TestChanged_IsExact(t *testing.T) {
	base, model := testBase(1<<20 + 100)
	s := newTestStore(t, base)
	o := newTop(t, s, LayerID{}, base)
	rnd := newRand(1)
	at := func(b, n int) { write(t, o, model, randomBytes(rnd, n*BlockSize), int64(b*BlockSize)) }
	at(2, 3)
	a, err := o.Checkpoint("a")
	must(t, err)
	at(4, 1)
	zero(t, o, model, 2*BlockSize, BlockSize)
	at(100, 2)
	b, err := o.Checkpoint("b")
	must(t, err)
	write(t, o, model, randomBytes(rnd, 100), 1<<20) // the short last block
	f := newTop(t, s, a, base)
	write(t, f, nil, randomBytes(rnd, 10), 50*BlockSize)
	must(t, f.Sync())

	held, zeroed := block.ExtentHeld, block.ExtentHeld|block.ExtentZero
	type ext = block.Extent
	check := func(what string, want []ext, changed func(func(ext) bool) error) {
		t.Helper()
		var got []ext
		must(t, changed(func(e ext) bool { got = append(got, e); return true }))
		// Neighbours of one state may come apart.
		if !slices.Equal(joinExtents(got), want) {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	blocks := func(b, n int64, st block.ExtentState) ext {
		return ext{Offset: b * BlockSize, Length: n * BlockSize, State: st}
	}
	check("base to a", []ext{blocks(2, 3, held)}, func(y func(ext) bool) error { return s.Changed(LayerID{}, a, y) })
	check("a to b", []ext{blocks(2, 1, zeroed), blocks(4, 1, held), blocks(100, 2, held)},
		func(y func(ext) bool) error { return s.Changed(a, b, y) })
	check("base to b", []ext{blocks(2, 1, zeroed), blocks(3, 2, held), blocks(100, 2, held)},
		func(y func(ext) bool) error { return s.Changed(LayerID{}, b, y) })
	check("b to a", []ext{blocks(2, 1, held), blocks(4, 1, held), blocks(100, 2, 0)},
		func(y func(ext) bool) error { return s.Changed(b, a, y) })
	check("b to the fork", []ext{blocks(2, 1, held), blocks(4, 1, held), blocks(50, 1, held), blocks(100, 2, 0)},
		func(y func(ext) bool) error { return s.Changed(b, f.Top(), y) })
	check("b to b", nil, func(y func(ext) bool) error { return s.Changed(b, b, y) })
	last := ext{Offset: 1 << 20, Length: 100, State: held}
	check("b to now, not synced", []ext{last}, func(y func(ext) bool) error { return o.Changed(b, y) })
	check("b to the top, not synced", nil, func(y func(ext) bool) error { return s.Changed(b, o.Top(), y) })
	must(t, o.Sync())
	check("b to now", []ext{last}, func(y func(ext) bool) error { return o.Changed(b, y) })
	check("b to the top", []ext{last}, func(y func(ext) bool) error { return s.Changed(b, o.Top(), y) })
	if err := o.Changed(f.Top(), func(ext) bool { return true }); err == nil {
		t.Error("Changed since a layer beside the overlay succeeded")
	}
}

func joinExtents(list []block.Extent) (out []block.Extent) {
	for _, e := range list {
		if k := len(out) - 1; k >= 0 && out[k].State == e.State && out[k].Offset+out[k].Length == e.Offset {
			out[k].Length += e.Length
		} else {
			out = append(out, e)
		}
	}
	return out
}
