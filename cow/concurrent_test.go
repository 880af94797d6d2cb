package cow

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
)

// TestOverlay_ConcurrentWithCheckpointsAndMerges has writers of their own
// stripes, readers, Sync, Checkpoint, Merge and Stats at once.
func TestOverlay_ConcurrentWithCheckpointsAndMerges(t *testing.T) {
	const size = 8 << 20
	b, model := testBase(size)
	s := newTestStoreIn(t, fastDir(t), b)
	o := newTop(t, s, LayerID{}, b)
	const workers, piece = 4, 1500
	var stop atomic.Bool
	var background, writers sync.WaitGroup
	background.Go(func() {
		var last LayerID
		for n := 0; !stop.Load(); n++ {
			id, err := o.Checkpoint("")
			if err != nil {
				t.Error(err)
				return
			}
			if n%2 == 1 && !last.IsBase() {
				if err := s.Merge(context.Background(), id, nil); err != nil {
					t.Error(err)
					return
				}
			}
			last = id
			if _, err := s.GC(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	background.Go(func() {
		buf := make([]byte, 64<<10)
		rnd := newRand(99)
		for !stop.Load() {
			if _, err := o.ReadAt(buf, rnd.Int64N(size-int64(len(buf)))); err != nil {
				t.Error(err)
				return
			}
			if err := o.Sync(); err != nil {
				t.Error(err)
				return
			}
			if _, err := o.Stats(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for w := range workers {
		writers.Go(func() {
			rnd := newRand(uint64(w))
			for range 400 {
				i := rnd.IntN(size/piece/workers)*workers + w
				off, mine := int64(i*piece), model[i*piece:(i+1)*piece]
				if rnd.IntN(4) == 0 {
					if err := o.Zero(off, piece); err != nil {
						t.Error(err)
						return
					}
					clear(mine)
					continue
				}
				p := randomBytes(rnd, piece)
				if _, err := o.WriteAt(p, off); err != nil {
					t.Error(err)
					return
				}
				copy(mine, p)
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	background.Wait()
	wantBytes(t, "disk", readAll(t, o), model)
	must(t, o.Sync())
	id := o.Top()
	st, err := o.Stats()
	must(t, err)
	must(t, o.Close())
	o, err = s.Open(id, b, noHeadroom)
	must(t, err)
	defer o.Close()
	wantBytes(t, "disk opened again", readAll(t, o), model)
	// What was counted along the way is what the maps say.
	again, err := o.Stats()
	must(t, err)
	if st.Held != again.Held || st.Zero != again.Zero || st.TopHeld != again.TopHeld || st.TopZero != again.TopZero || st.Used != again.Used {
		t.Errorf("counted\n%+v, opened again\n%+v", st, again)
	}
}

// childDir tells the test binary to be the process that is killed.
const childDir = "SNAPVIEW_COW_TEST_CHILD"

// TestKilledProcess_LosesNothingThatWasSynced kills a real process that writes.
func TestKilledProcess_LosesNothingThatWasSynced(t *testing.T) {
	const size = 4 << 20
	b, _ := testBase(size)
	if dir := os.Getenv(childDir); dir != "" {
		beKilled(t, dir, b)
		return
	}
	s := newTestStore(t, b)
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProcess_LosesNothingThatWasSynced$")
	cmd.Env = append(os.Environ(), childDir+"="+s.Dir())
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var synced uint64
	lines := bufio.NewScanner(out)
	for lines.Scan() && synced < 20 {
		fmt.Sscanf(lines.Text(), "synced %d", &synced)
	}
	must(t, cmd.Process.Kill())
	for lines.Scan() { // what it still said
		fmt.Sscanf(lines.Text(), "synced %d", &synced)
	}
	cmd.Wait()
	if synced < 20 {
		t.Fatalf("the child came only to Sync %d", synced)
	}
	o, err := s.Resume("child", b, noHeadroom) // its lock is gone with it
	must(t, err)
	defer o.Close()
	p := make([]byte, 8)
	for k := range int64(childBlocks) {
		_, err := o.ReadAt(p, k*5000)
		must(t, err)
		if n := binary.LittleEndian.Uint64(p); n < synced {
			t.Errorf("piece %d is of round %d, round %d was synced", k, n, synced)
		}
	}
}

const childBlocks = 100

func beKilled(t *testing.T, dir string, b Base) {
	s, err := OpenStore(dir)
	must(t, err)
	o, err := s.NewTop(LayerID{}, b, Options{Headroom: -1, Ref: "child"})
	must(t, err)
	p := make([]byte, 8)
	for n := uint64(1); n < 100_000; n++ {
		for k := range int64(childBlocks) {
			binary.LittleEndian.PutUint64(p, n)
			if _, err := o.WriteAt(p, k*5000); err != nil {
				t.Fatal(err)
			}
		}
		if n%5 == 0 {
			if _, err := o.Checkpoint(""); err != nil {
				t.Fatal(err)
			}
		} else if err := o.Sync(); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("synced %d\n", n)
	}
}
