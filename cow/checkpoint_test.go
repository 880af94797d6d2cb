package cow

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"
)

func TestCheckpoint_PatchIsTheLastWriteOfTheLayer(t *testing.T) {
	b, model := testBase(1 << 20)
	s := newTestStore(t, b)
	o, err := s.NewTop(LayerID{}, b, Options{Headroom: -1, MaxBytes: BlockSize})
	must(t, err)
	defer o.Close()
	write(t, o, model, bytes.Repeat([]byte{1}, BlockSize), 5*BlockSize)
	// There is no room left, and it must not wait for any.
	patch := Patch{1024, []byte("clean")}
	copy(model[1024:], "clean")
	done := make(chan LayerID, 1)
	go func() {
		id, err := o.Checkpoint("full", patch, Patch{5*BlockSize + 7, []byte{9}})
		if err != nil {
			t.Error(err)
		}
		done <- id
	}()
	model[5*BlockSize+7] = 9
	var id LayerID
	select {
	case id = <-done:
	case <-time.After(time.Minute):
		t.Fatal("the checkpoint waits for room")
	}
	v, err := s.View(id, b)
	must(t, err)
	defer v.Close()
	wantBytes(t, "the sealed disk", readAll(t, v), model)
	wantBytes(t, "the overlay", readAll(t, o), model)
	st, err := o.Stats()
	must(t, err)
	if st.Used != 2*BlockSize || st.Held != 2*BlockSize || st.TopHeld != 0 {
		t.Errorf("Stats %+v", st)
	}
	if _, err := o.Checkpoint("", Patch{BlockSize - 1, []byte("ab")}); err == nil {
		t.Error("a patch across blocks was taken")
	}
	if _, err := o.Checkpoint("", Patch{1 << 20, []byte("a")}); err == nil {
		t.Error("a patch beyond the end was taken")
	}
}

func TestCheckpoint_FailureTakesThePatchBack(t *testing.T) {
	b, model := testBase(1 << 20)
	s := newTestStore(t, b)
	o := newTop(t, s, LayerID{}, b)
	defer o.Close()
	write(t, o, model, []byte("abc"), 100)
	broken := errors.New("the disk says no")
	s.hook = func(at string) error {
		if at == "map-sealed" {
			return broken
		}
		return nil
	}
	top := o.Top()
	if id, err := o.Checkpoint("x", Patch{100, []byte("xyz")}); !errors.Is(err, broken) || !id.IsBase() {
		t.Errorf("Checkpoint: %v, %v", id, err)
	}
	s.hook = func(string) error { return nil }
	if o.Top() != top {
		t.Error("the top has changed")
	}
	wantBytes(t, "the overlay", readAll(t, o), model)
	layers, err := s.Layers()
	must(t, err)
	if len(layers) != 1 {
		t.Errorf("%d layers are left", len(layers))
	}
}

func TestMerge_TellsHowFarItIsAndCanBeStopped(t *testing.T) {
	b, model := testBase(64 << 20)
	s := newTestStore(t, b)
	o := newTop(t, s, LayerID{}, b)
	defer o.Close()
	write(t, o, model, bytes.Repeat([]byte{7}, 40<<20), 0)
	low, err := o.Checkpoint("low")
	must(t, err)
	write(t, o, model, bytes.Repeat([]byte{8}, 1<<20), 10<<20)
	id, err := o.Checkpoint("high")
	must(t, err)
	figures := func() (l []LayerInfo) {
		l, err := s.Layers()
		must(t, err)
		return l
	}
	before := figures()

	ctx, cancel := context.WithCancel(t.Context())
	var seen []int64
	err = s.Merge(ctx, id, func(done, total int64) {
		if total != 39<<20 {
			t.Errorf("%d bytes in all, want 39 MiB", total)
		}
		seen = append(seen, done)
		if done > 0 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || len(seen) != 2 || seen[0] != 0 {
		t.Errorf("a merge that was stopped: %v after %v", err, seen)
	}
	after := figures()
	if len(after) != 3 || after[0].ID != low || after[1].Held != before[1].Held || after[1].Allocated != before[1].Allocated {
		t.Errorf("it left\n%+v, before there was\n%+v", after, before)
	}
	wantBytes(t, "the overlay after it", readAll(t, o), model)

	seen = nil
	must(t, s.Merge(t.Context(), id, func(done, _ int64) { seen = append(seen, done) }))
	if last := seen[len(seen)-1]; last != 39<<20 || len(seen) < 4 {
		t.Errorf("progress %v", seen)
	}
	if l := figures(); len(l) != 2 || l[0].ID != id || l[0].Held != 40<<20 {
		t.Errorf("after the merge %+v", l)
	}
	wantBytes(t, "the overlay after the merge", readAll(t, o), model)
}
