package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/nbdserver"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// What a block is, in the words of the context snapview:overlay.
const (
	blockHeld = 1 << 0
	blockZero = 1 << 1
)

// TestClientsSeeWhatTheOverlayHolds writes an overlay of several layers at
// random and compares the maps that libnbd and qemu print with what was done.
func TestClientsSeeWhatTheOverlayHolds(t *testing.T) {
	const blocks = 4096
	rnd := rand.New(rand.NewPCG(1, 7))
	content := make([]byte, blocks/2*cow.BlockSize) // the other half is a hole
	for i := range content {
		content[i] = byte(1 + rnd.IntN(255))
	}
	memory := block.NewMemory(blocks * cow.BlockSize)
	if _, err := memory.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	want := make([]int, blocks)
	for b := blocks / 2; b < blocks; b++ {
		want[b] = blockZero
	}
	base := cow.Base{Reader: memory}
	store, err := cow.CreateStore(filepath.Join(t.TempDir(), "store"), cow.StoreOptions{VirtualSize: memory.Size()})
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := store.NewTop(cow.LayerID{}, base, cow.Options{Headroom: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer overlay.Close()
	for step := range 400 {
		at, n := rnd.IntN(blocks), 1+rnd.IntN(8)
		if step%50 == 0 {
			n = 1 + rnd.IntN(200)
		}
		n = min(n, blocks-at)
		off, is := int64(at)*cow.BlockSize, blockHeld
		switch step % 4 {
		case 0, 1:
			_, err = overlay.WriteAt(bytes.Repeat([]byte{byte(1 + step%255)}, n*cow.BlockSize), off)
		case 2: // zeros that are written take no data
			_, err = overlay.WriteAt(make([]byte, n*cow.BlockSize), off)
			is |= blockZero
		case 3:
			err = overlay.Zero(off, int64(n)*cow.BlockSize)
			is |= blockZero
		}
		if err == nil && step%150 == 149 {
			_, err = overlay.Checkpoint("")
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := at; i < at+n; i++ {
			want[i] = is
		}
	}

	uri := served(t, overlay)
	type extent struct {
		Offset, Length, Type int64 // nbdinfo
		Start                int64 // qemu-img
		Data, Zero           bool
	}
	for _, c := range []struct {
		name    string
		command []string
		start   func(extent) int64
		is      func(extent) int
		mask    int // what the map can tell of it
	}{
		{
			"snapview:overlay", []string{"nbdinfo", "--map=snapview:overlay", "--json", uri},
			func(e extent) int64 { return e.Offset }, func(e extent) int { return int(e.Type) }, blockHeld | blockZero,
		},
		{
			"base:allocation", []string{"nbdinfo", "--map", "--json", uri},
			func(e extent) int64 { return e.Offset }, func(e extent) int { return int(e.Type) & 2 }, blockZero,
		},
		{
			"qemu-img map", []string{"qemu-img", "map", "--output=json", "-f", "raw", uri},
			func(e extent) int64 { return e.Start }, func(e extent) int {
				if e.Zero == e.Data {
					return -1
				}
				return map[bool]int{true: blockZero}[e.Zero]
			}, blockZero,
		},
	} {
		out, err := exec.Command(snapshottest.Tool(t, c.command[0]), c.command[1:]...).Output()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var extents []extent
		if err := json.Unmarshal(out, &extents); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		next := 0
		for _, e := range extents {
			if c.start(e) != int64(next)*cow.BlockSize || e.Length%cow.BlockSize != 0 || next+int(e.Length/cow.BlockSize) > blocks {
				t.Fatalf("%s: after block %d comes %+v", c.name, next, e)
			}
			for end := next + int(e.Length/cow.BlockSize); next < end; next++ {
				if got := c.is(e); got != want[next]&c.mask {
					t.Fatalf("%s: block %d is %d, should be %d", c.name, next, got, want[next]&c.mask)
				}
			}
		}
		if next != blocks {
			t.Errorf("%s: %d of %d blocks", c.name, next, blocks)
		}
	}
}

// served serves a device on a unix socket and returns the URI for clients.
func served(t *testing.T, device block.Device) string {
	t.Helper()
	server, err := nbdserver.New(nbdserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.AddExport(nbdserver.Export{Device: device}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "nbd.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return fmt.Sprintf("nbd+unix:///?socket=%s", socket)
}
