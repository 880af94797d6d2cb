package cow

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
)

// twoStores are overlays over bases of their own that share a budget.
func twoStores(t *testing.T, budget *Budget) (overlays [2]*Overlay, models [2][]byte, told *holds) {
	t.Helper()
	told = new(holds)
	for i := range overlays {
		b, model := testBase(4<<20 + i*BlockSize)
		s, err := CreateStore(filepath.Join(fastDir(t), "store"), StoreOptions{BaseID: b.ID, VirtualSize: b.Reader.Size(), Budget: budget})
		must(t, err)
		o, err := s.NewTop(LayerID{}, b, Options{Headroom: -1, OnHold: told.tell})
		must(t, err)
		t.Cleanup(func() { o.Close() })
		overlays[i], models[i] = o, model
	}
	return overlays, models, told
}

func wantUsed(t *testing.T, b *Budget, want int64) {
	t.Helper()
	if got := b.Used(); got != want {
		t.Errorf("the budget counts %d bytes, the layers hold %d", got, want)
	}
}

func TestBudget_AllAreHeldWhenItIsUsedUp(t *testing.T) {
	budget := NewBudget(64 << 10)
	o, models, told := twoStores(t, budget)
	rnd := newRand(1)
	write(t, o[0], models[0], randomBytes(rnd, 40<<10), 0)
	write(t, o[1], models[1], randomBytes(rnd, 24<<10), 0)
	done := [2]chan error{
		heldWrite(t, o[0], models[0], randomBytes(rnd, 4<<10), 1<<20),
		heldWrite(t, o[1], models[1], randomBytes(rnd, 16<<10), 1<<20),
	}
	wantUsed(t, budget, 64<<10)
	if left := budget.Left(); left != 0 {
		t.Errorf("%d bytes are left", left)
	}
	// What needs no room goes on, and room that one makes is everybody's.
	write(t, o[1], models[1], randomBytes(rnd, 24<<10), 0)
	zero(t, o[0], models[0], 0, 24<<10)
	must(t, result(t, done[0]))
	must(t, result(t, done[1]))
	wantUsed(t, budget, 60<<10)
	wantReasons(t, told, HoldTotal, HoldTotal, HoldNone, HoldNone)
	if e := told.list[0]; e.Limit != 64<<10 || e.Used != 64<<10 {
		t.Errorf("OnHold was told %+v", e)
	}
	for i := range o {
		wantBytes(t, "disk", readAll(t, o[i]), models[i])
	}
	// A budget that is raised lets held writes go on.
	held := heldWrite(t, o[0], models[0], randomBytes(rnd, 8<<10), 2<<20)
	budget.SetLimit(0)
	must(t, result(t, held))
	wantUsed(t, budget, 68<<10)
}

func TestBudget_ALayerCountsOnceUntilItIsGone(t *testing.T) {
	budget := NewBudget(1 << 20)
	b, model := testBase(4 << 20)
	s, err := CreateStore(filepath.Join(fastDir(t), "store"), StoreOptions{BaseID: b.ID, VirtualSize: b.Reader.Size(), Budget: budget})
	must(t, err)
	o, err := s.NewTop(LayerID{}, b, noHeadroom)
	must(t, err)
	rnd := newRand(1)
	write(t, o, model, randomBytes(rnd, 40<<10), 0)
	first, err := o.Checkpoint("first")
	must(t, err)
	write(t, o, model, randomBytes(rnd, 20<<10), 0)
	second, err := o.Checkpoint("second", Patch{Offset: 1<<20 + 5, Data: []byte("patched")})
	must(t, err)
	copy(model[1<<20+5:], "patched")
	fork, err := s.NewTop(second, b, noHeadroom)
	must(t, err)
	forked := append([]byte(nil), model...)
	write(t, fork, forked, randomBytes(rnd, 8<<10), 2<<20)
	wantUsed(t, budget, (40+20+4+8)<<10)

	must(t, s.Merge(context.Background(), second, nil))
	if _, err := s.readLayer(first); err == nil {
		t.Error("the merged layer is there still")
	}
	wantUsed(t, budget, (40+4+8)<<10)
	wantBytes(t, "disk", readAll(t, o), model)

	// Never synced: the map on disk does not know what the fork's top holds.
	must(t, fork.Close())
	_, err = s.GC()
	must(t, err)
	wantUsed(t, budget, (40+4)<<10)

	write(t, o, model, randomBytes(rnd, 12<<10), 3<<20)
	must(t, o.Sync())
	top := o.Top()
	must(t, o.Close())
	wantUsed(t, budget, (40+4+12)<<10)
	o, err = s.Open(top, b, noHeadroom)
	must(t, err)
	write(t, o, model, randomBytes(rnd, 4<<10), 2<<20)
	wantUsed(t, budget, (40+4+12+4)<<10)
	must(t, o.Close())
	s.Dispose()
	wantUsed(t, budget, 0)
}

func TestBudget_IsNeverPassed(t *testing.T) {
	const limit = 256 << 10
	budget := NewBudget(limit)
	o, _, _ := twoStores(t, budget)
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			rnd := newRand(uint64(i))
			for at := range 16 {
				if _, err := o[i%2].WriteAt(randomBytes(rnd, 8<<10), int64(i/2*16+at)*16<<10); err != nil {
					return // closed below
				}
			}
		})
	}
	waitFor(t, "both wait", func() bool {
		for i := range o {
			if st, err := o[i].Stats(); err != nil || st.HoldReason != HoldTotal {
				return false
			}
		}
		return true
	})
	if budget.Used() > limit {
		t.Errorf("%d bytes of %d", budget.Used(), limit)
	}
	// On the way down nothing waits, and what is written is given back.
	for i := range o {
		o[i].FailWhenFull()
	}
	writers.Wait()
	for i := range o {
		must(t, o[i].Close())
		o[i].store.Dispose()
	}
	wantUsed(t, budget, 0)
}
