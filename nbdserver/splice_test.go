package nbdserver

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/snapview/snapview/block"
)

// mapped is a file of which the second half is hidden from MapFile.
type mapped struct {
	*os.File
	size     int64
	maps     atomic.Int64
	released atomic.Int64
	release  func()
}

func (m *mapped) Size() int64 { return m.size }

func (m *mapped) MapFile(off, n int64) (block.FileRange, func(), bool) {
	if off >= m.size/2 {
		return block.FileRange{}, nil, false
	}
	m.maps.Add(1)
	return block.FileRange{FD: m.Fd(), Offset: off, Length: min(n, m.size/2-off)}, m.release, true
}

func newMapped(t *testing.T, size int64) (*mapped, []byte) {
	t.Helper()
	want := make([]byte, size)
	rand.NewChaCha8([32]byte{3}).Read(want)
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	m := &mapped{File: f, size: size}
	m.release = func() { m.released.Add(1) }
	return m, want
}

func TestSplice_SendsTheSameBytes(t *testing.T) {
	for name, structured := range map[string]bool{"Simple": false, "Structured": true} {
		t.Run(name, func(t *testing.T) {
			const size = 8 << 20
			m, want := newMapped(t, size)
			s, dial := serveDevices(t, Options{}, Export{Device: m})
			r := newRemote(t, dial(), size, structured)
			var wg sync.WaitGroup
			for g := range 4 {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(2, uint64(g)))
					for range 100 {
						off := rnd.Int64N(size)
						got := make([]byte, min(size-off, 1+rnd.Int64N(1<<rnd.IntN(22))))
						if _, err := r.ReadAt(got, off); err != nil || !bytes.Equal(got, want[off:off+int64(len(got))]) {
							t.Errorf("%d bytes at %d differ (%v)", len(got), off, err)
						}
					}
				})
			}
			wg.Wait()
			r.Close()
			eventually(t, "the client to go", func() bool { return s.Connections() == 0 })
			if m.maps.Load() == 0 || m.maps.Load() != m.released.Load() {
				t.Errorf("%d ranges mapped, %d released", m.maps.Load(), m.released.Load())
			}
		})
	}
}

// A file that shrinks under its device must not be sent short and then be
// followed by other replies. Its pages are not in the cache any more, so the
// request fails like any other.
func TestSplice_OfAFileCutShortIsTheRequestsError(t *testing.T) {
	m, want := newMapped(t, 1<<20)
	_, dial := serveDevices(t, Options{}, Export{Device: m})
	if err := m.Truncate(100 << 10); err != nil {
		t.Fatal(err)
	}
	c := connect(t, dial(), "", false)
	c.request(cmdRead, 0, 1, 64<<10, 128<<10)
	c.expectSimple(1, errnoIO)
	c.request(cmdRead, 0, 2, 0, 64<<10)
	c.expectSimple(2, 0)
	c.expect(want[:64<<10])
	c.disconnect()
}
