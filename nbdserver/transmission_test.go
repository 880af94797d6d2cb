package nbdserver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/pojntfx/go-nbd/pkg/protocol"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/block/blocktest"
)

const (
	cmdRead  = protocol.TRANSMISSION_TYPE_REQUEST_READ
	cmdWrite = protocol.TRANSMISSION_TYPE_REQUEST_WRITE
	ePerm    = protocol.TRANSMISSION_ERROR_EPERM
	eInval   = protocol.TRANSMISSION_ERROR_EINVAL
)

func TestDevice_OverTheWireKeepsTheContract(t *testing.T) {
	for name, structured := range map[string]bool{"Simple": false, "Structured": true} {
		t.Run(name, func(t *testing.T) {
			blocktest.TestDevice(t, func(t *testing.T) block.Device {
				m := block.NewMemory(1<<20 + 777)
				_, dial := serveDevices(t, Options{}, Export{Device: m})
				return newRemote(t, dial(), m.Size(), structured)
			})
		})
	}
}

func TestDevice_OverSeveralConnectionsIsOne(t *testing.T) {
	const size = 4 << 20
	_, dial := serveDevices(t, Options{}, Export{Device: block.NewMemory(size)})
	a, b := newRemote(t, dial(), size, true), newRemote(t, dial(), size, false)
	defer a.Close()
	defer b.Close()
	want, got := make([]byte, 300<<10), make([]byte, 300<<10)
	rnd := rand.NewChaCha8([32]byte{1})
	for i := range 20 {
		rnd.Read(want)
		off := int64(i * 1000)
		if _, err := a.WriteAt(want, off); err != nil {
			t.Fatal(err)
		}
		if _, err := b.ReadAt(got, off); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("round %d: the other connection reads something else (%v)", i, err)
		}
		a, b = b, a
	}
}

func TestRequests_RefusedOnesAreAnsweredAndTheConnectionLivesOn(t *testing.T) {
	const size = 1 << 20
	type req struct {
		name       string
		cmd, flags uint16
		off, n     int64
		errno      uint32
		readOnly   uint32 // errno on a read-only export
	}
	reqs := []req{
		{"read past the end", cmdRead, 0, size - 10, 11, eInval, eInval},
		{"read behind the end", cmdRead, 0, size + 1, 1, eInval, eInval},
		{"read at an offset past 2^63", cmdRead, 0, -1, 1, eInval, eInval},
		{"read whose end overflows", cmdRead, 0, 1<<63 - 1, 4096, eInval, eInval},
		{"read with an unknown flag", cmdRead, 1 << 9, 0, 1, eInval, eInval},
		{"read with DF without structured replies", cmdRead, cmdFlagDF, 0, 1, eInval, eInval},
		{"write past the end", cmdWrite, 0, size - 10, 11, errnoNoSpace, ePerm},
		{"long write past the end", cmdWrite, 0, size - 10, 3 << 20, errnoNoSpace, ePerm},
		{"write with an unknown flag", cmdWrite, 1 << 5, 0, 4096, eInval, eInval},
		{"write of more than the maximum", cmdWrite, 0, 0, MaxPayload + 1, errnoNoSpace, ePerm},
		{"trim past the end", cmdTrim, 0, size, 1, eInval, ePerm},
		{"trim with NO_HOLE", cmdTrim, cmdFlagNoHole, 0, 1, eInval, eInval},
		{"zeroes past the end", cmdWriteZeroes, 0, size - 1, 2, errnoNoSpace, ePerm},
		{"fast zeroes that are no hole", cmdWriteZeroes, cmdFlagNoHole | cmdFlagFastZero, 0, 4096, errnoNotSup, ePerm},
		{"flush with a length", cmdFlush, 0, 0, 1, eInval, eInval},
		{"cache past the end", cmdCache, 0, 0, size + 1, eInval, eInval},
		{"block status without a context", cmdBlockStatus, 0, 0, 512, eInval, eInval},
		{"unknown command", 99, 0, 0, 0, eInval, eInval},
	}
	for _, ro := range []bool{false, true} {
		t.Run(map[bool]string{false: "Writable", true: "ReadOnly"}[ro], func(t *testing.T) {
			m := block.NewMemoryFrom(bytes.Repeat([]byte("snapview"), size/8))
			_, dial := serveDevices(t, Options{}, Export{Device: m, ReadOnly: ro})
			c := connect(t, dial(), "", false)
			for i, r := range reqs {
				var payload []byte
				if r.cmd == cmdWrite {
					payload = make([]byte, r.n)
				}
				c.request(r.cmd, r.flags, uint64(i), r.off, r.n, payload)
				want := r.errno
				if ro {
					want = r.readOnly
				}
				head := c.receive(16)
				if got := binary.BigEndian.Uint32(head[4:]); got != want {
					t.Errorf("%s: error %d, want %d", r.name, got, want)
				}
				c.request(cmdRead, 0, 7, 0, 8)
				c.expectSimple(7, 0)
				c.expect("snapview")
			}
			c.disconnect()
			if got := make([]byte, size); true {
				if _, err := m.ReadAt(got, 0); err != nil || !bytes.Equal(got, bytes.Repeat([]byte("snapview"), size/8)) {
					t.Errorf("a refused request changed the device (%v)", err)
				}
			}
		})
	}
}

func TestRequests_EmptyOnesSucceed(t *testing.T) {
	_, dial := serveDevices(t, Options{}, Export{Device: block.NewMemory(4096)})
	c := connect(t, dial(), "", false)
	for i, cmd := range []uint16{cmdRead, cmdWrite, cmdTrim, cmdWriteZeroes, cmdCache} {
		c.request(cmd, 0, uint64(i), 4096, 0)
		c.expectSimple(uint64(i), 0)
	}
	s := connect(t, dial(), "", true)
	s.request(cmdRead, 0, 9, 0, 0)
	if flags, typ, data := s.chunk(9); flags != replyFlagDone || typ != replyNone || len(data) != 0 {
		t.Errorf("empty structured read: flags %d type %d data %x", flags, typ, data)
	}
}

func TestRead_StructuredRepliesCarryDataHolesAndErrors(t *testing.T) {
	m := block.NewMemory(1 << 20)
	if _, err := m.WriteAt([]byte("hello"), 4096); err != nil {
		t.Fatal(err)
	}
	_, dial := serveDevices(t, Options{}, Export{Device: m})
	c := connect(t, dial(), "", true)
	c.request(cmdRead, cmdFlagDF, 1, 4096, 5)
	flags, typ, data := c.chunk(1)
	if want := encode(uint64(4096), "hello"); flags != replyFlagDone || typ != replyOffsetData || !bytes.Equal(data, want) {
		t.Errorf("data chunk: flags %d type %d %x", flags, typ, data)
	}
	c.request(cmdRead, 0, 2, 512<<10, 128<<10)
	_, typ, data = c.chunk(2)
	if want := encode(uint64(512<<10), uint32(128<<10)); typ != replyOffsetHole || !bytes.Equal(data, want) {
		t.Errorf("long read of zeros: type %d %.40x, want a hole", typ, data)
	}
	c.request(cmdRead, 0, 3, 1<<20, 1)
	c.expectError(3, eInval)
	// FUA is allowed, and idle, on a read.
	c.request(cmdRead, cmdFlagFUA, 4, 4096, 5)
	if _, typ, _ := c.chunk(4); typ != replyOffsetData {
		t.Errorf("read with FUA: type %d", typ)
	}
	c.disconnect()
}

// gate blocks chosen operations until it is opened.
type gate struct {
	block.Device
	hold   func(off int64, write bool) bool
	open   chan struct{}
	inside atomic.Int64
}

func (g *gate) wait(off int64, write bool) {
	if g.hold(off, write) {
		g.inside.Add(1)
		<-g.open
		g.inside.Add(-1)
	}
}

func (g *gate) ReadAt(p []byte, off int64) (int, error) {
	g.wait(off, false)
	return g.Device.ReadAt(p, off)
}

func (g *gate) WriteAt(p []byte, off int64) (int, error) {
	g.wait(off, true)
	return g.Device.WriteAt(p, off)
}

func newGate(size int64, hold func(off int64, write bool) bool) *gate {
	return &gate{Device: block.NewMemoryFrom(bytes.Repeat([]byte{0xab}, int(size))), hold: hold, open: make(chan struct{})}
}

// A request that the device does not answer must not hold up those behind it,
// whether the reader executes it or a worker.
func TestPipeline_IsAnsweredOutOfOrder(t *testing.T) {
	for name, n := range map[string]int64{"Small": 512, "Large": 256 << 10} {
		for kind, cmd := range map[string]uint16{"Read": cmdRead, "Write": cmdWrite} {
			t.Run(name+kind, func(t *testing.T) {
				g := newGate(1<<20, func(off int64, _ bool) bool { return off == 0 })
				_, dial := serveDevices(t, Options{}, Export{Device: g})
				c := connect(t, dial(), "", false)
				var payload []byte
				if cmd == cmdWrite {
					payload = make([]byte, n)
				}
				// Two in front share the batch, two behind come with
				// the stuck one.
				var pipeline []byte
				for cookie, off := range []int64{4096, 8192, 0, 12288} {
					part := encode(protocol.TRANSMISSION_MAGIC_REQUEST, uint16(0), cmdRead, uint64(cookie), uint64(off), uint32(16))
					if off == 0 {
						part = encode(protocol.TRANSMISSION_MAGIC_REQUEST, uint16(0), cmd, uint64(cookie), uint64(0), uint32(n), payload)
					}
					pipeline = append(pipeline, part...)
				}
				c.send(pipeline)
				want16 := bytes.Repeat([]byte{0xab}, 16)
				seen := map[uint64]bool{}
				take := func() {
					head := c.receive(16)
					seen[binary.BigEndian.Uint64(head[8:])] = true
					if got := c.receive(16); !bytes.Equal(got, want16) {
						t.Fatalf("read %x", got)
					}
				}
				take()
				take()
				take()
				c.request(cmdRead, 0, 4, 700<<10, 16)
				take()
				if len(seen) != 4 || seen[2] {
					t.Fatalf("answered before the stuck request: %v", seen)
				}
				close(g.open)
				c.expectSimple(2, 0)
				if cmd == cmdRead {
					if got := c.receive(int(n)); !bytes.Equal(got, bytes.Repeat([]byte{0xab}, int(n))) {
						t.Fatal("the stuck read brought wrong data")
					}
				}
				c.disconnect()
			})
		}
	}
}

// Writes that the overlay holds must not keep reads from going on, however
// many there are.
func TestPipeline_ReadsGoOnWhileWritesAreHeld(t *testing.T) {
	const writes = 100
	g := newGate(1<<20, func(_ int64, write bool) bool { return write })
	_, dial := serveDevices(t, Options{Workers: 4}, Export{Device: g})
	c := connect(t, dial(), "", false)
	for i := range writes {
		c.request(cmdWrite, 0, uint64(i), int64(i)*4096, 4096, make([]byte, 4096))
	}
	for i := range 50 {
		c.request(cmdRead, 0, 1000, int64(i)*4096, 4096)
		c.expectSimple(1000, 0)
		c.receive(4096)
	}
	if n := g.inside.Load(); n < 1 || n > 4+1 {
		t.Errorf("%d writes at the device, want at most the 4 workers and a relieved reader", n)
	}
	close(g.open)
	seen := make(map[uint64]bool)
	for range writes {
		head := c.receive(16)
		if errno := binary.BigEndian.Uint32(head[4:]); errno != 0 {
			t.Fatalf("held write: error %d", errno)
		}
		seen[binary.BigEndian.Uint64(head[8:])] = true
	}
	if len(seen) != writes {
		t.Errorf("%d different writes answered, want %d", len(seen), writes)
	}
	c.disconnect()
}

// Every I/O of the device is failed in turn; each time that request alone
// fails, with the device's error, and is reported.
func TestFaults_AreTheRequestsOwn(t *testing.T) {
	for name, structured := range map[string]bool{"Simple": false, "Structured": true} {
		t.Run(name, func(t *testing.T) {
			const size = 1 << 20
			var faults atomic.Int64
			f := blocktest.NewFaults(-1, 0)
			dev := blocktest.FaultDevice(block.NewMemory(size), f)
			s, dial := serveDevices(t, Options{OnFault: func(x Fault) {
				faults.Add(1)
				if !errors.Is(x.Err, blocktest.ErrInjected) {
					t.Errorf("reported: %+v", x)
				}
			}}, Export{Device: dev})
			r := newRemote(t, dial(), size, structured)
			defer r.Close()
			small, large := make([]byte, 512), make([]byte, 300<<10)
			steps := []func() error{
				func() error { _, err := r.ReadAt(small, 0); return err },
				func() error { _, err := r.ReadAt(large, 0); return err },
				func() error { _, err := r.WriteAt(small, 0); return err },
				func() error { _, err := r.WriteAt(large, 0); return err },
				func() error { return r.Zero(0, 4096) },
				func() error { return r.Zero(1, 4096) },
				func() error { return r.Sync() },
			}
			for i := range steps {
				f.Arm(int64(i), 1, blocktest.AnyOp)
				for j, step := range steps {
					err := step()
					if i == j && !errors.Is(err, syscall.EIO) || i != j && err != nil {
						t.Errorf("fault %d, step %d: %v", i, j, err)
					}
				}
			}
			if st, _ := s.Stats(""); faults.Load() != int64(len(steps)) || st.Faults != uint64(len(steps)) {
				t.Errorf("%d faults reported, %d counted, want %d", faults.Load(), st.Faults, len(steps))
			}
		})
	}
}

// failing returns an error from every change.
type failing struct {
	block.Device
	err error
}

func (f failing) WriteAt([]byte, int64) (int, error) { return 0, f.err }

func TestFaults_KeepTheirMeaning(t *testing.T) {
	for err, want := range map[error]uint32{
		syscall.ENOSPC: errnoNoSpace, syscall.EDQUOT: errnoNoSpace, os.ErrPermission: ePerm,
		os.ErrClosed: errnoShutdown, syscall.ENOMEM: errnoNoMem, errors.ErrUnsupported: errnoNotSup,
		errors.New("anything"): errnoIO, syscall.EINVAL: eInval, &os.PathError{Op: "write", Err: syscall.EROFS}: ePerm,
	} {
		_, dial := serveDevices(t, Options{}, Export{Device: failing{block.NewMemory(4096), err}})
		c := connect(t, dial(), "", false)
		c.request(cmdWrite, 0, 1, 0, 4, "data")
		c.expectSimple(1, want)
		c.disconnect()
	}
}

// recorder counts what reaches the device.
type recorder struct {
	block.Device
	syncs, zeros, writes, prefetches atomic.Int64
}

func (r *recorder) Sync() error             { r.syncs.Add(1); return r.Device.Sync() }
func (r *recorder) Zero(off, n int64) error { r.zeros.Add(1); return r.Device.Zero(off, n) }
func (r *recorder) Prefetch(off, n int64)   { r.prefetches.Add(1) }
func (r *recorder) WriteAt(p []byte, off int64) (int, error) {
	r.writes.Add(1)
	return r.Device.WriteAt(p, off)
}

func TestCommands_ReachTheDevice(t *testing.T) {
	const big = int64(3) << 30 // commands without a payload may be longer than MaxPayload
	r := &recorder{Device: block.NewMemory(big)}
	_, dial := serveDevices(t, Options{}, Export{Device: r})
	c := connect(t, dial(), "", false)
	count := func(what string, got *atomic.Int64, want int64) {
		t.Helper()
		if got.Swap(0) != want {
			t.Errorf("%s: wrong number of calls", what)
		}
	}
	do := func(cmd, flags uint16, off, n int64, payload ...any) {
		t.Helper()
		c.request(cmd, flags, 5, off, n, payload...)
		c.expectSimple(5, 0)
	}
	do(cmdWrite, cmdFlagFUA, 100, 4, "data")
	count("FUA write: Sync", &r.syncs, 1)
	do(cmdWriteZeroes, cmdFlagFUA, 0, 4096)
	count("FUA zeroes: Sync", &r.syncs, 1)
	do(cmdTrim, cmdFlagFUA, 0, 4096)
	count("FUA trim: Sync", &r.syncs, 1)
	do(cmdFlush, 0, 0, 0)
	count("flush: Sync", &r.syncs, 1)
	do(cmdTrim, 0, 0, big)
	do(cmdWriteZeroes, cmdFlagFastZero, 1, big-1)
	count("Zero", &r.zeros, 4)
	count("WriteAt", &r.writes, 1)
	do(cmdWriteZeroes, cmdFlagNoHole, 5, 600<<10)
	count("NO_HOLE: WriteAt", &r.writes, 3)
	count("NO_HOLE: Zero", &r.zeros, 0)
	do(cmdCache, 0, 0, big)
	count("Prefetch", &r.prefetches, 1)
	c.disconnect()
}

// extentReader has 4 KiB blocks of the states given, repeated.
type extentReader struct {
	block.Reader
	states []block.ExtentState
}

func (e extentReader) Extents(off, n int64, yield func(block.Extent) bool) error {
	for end := off + n; off < end; {
		i := off / 4096
		next := min((i+1)*4096, end)
		if !yield(block.Extent{Offset: off, Length: next - off, State: e.states[i%int64(len(e.states))]}) {
			return nil
		}
		off = next
	}
	return nil
}

func TestBlockStatus_DescribesBothContexts(t *testing.T) {
	e := extentReader{block.NewMemory(1 << 30), []block.ExtentState{0, block.ExtentHeld, block.ExtentZero, block.ExtentHeld | block.ExtentZero}}
	_, dial := serveDevices(t, Options{}, Export{Device: e})
	c := connect(t, dial(), "", true, contextAllocation, "nobody:knows", contextOverlay)

	c.request(cmdBlockStatus, 0, 1, 1024, 4*4096)
	flags, typ, data := c.chunk(1)
	want := encode(uint32(1), uint32(3072+4096), uint32(0), uint32(2*4096), uint32(3), uint32(1024), uint32(0))
	if flags != 0 || typ != replyBlockStatus || !bytes.Equal(data, want) {
		t.Errorf("base:allocation: flags %d type %d\n %x, want\n %x", flags, typ, data, want)
	}
	flags, _, data = c.chunk(1)
	want = encode(uint32(2), uint32(3072), uint32(0), uint32(4096), uint32(1), uint32(4096), uint32(2), uint32(4096), uint32(3), uint32(1024), uint32(0))
	if flags != replyFlagDone || !bytes.Equal(data, want) {
		t.Errorf("snapview:overlay: flags %d\n %x, want\n %x", flags, data, want)
	}

	c.request(cmdBlockStatus, cmdFlagReqOne, 2, 0, 1<<29)
	_, _, data = c.chunk(2)
	if want := encode(uint32(1), uint32(2*4096), uint32(0)); !bytes.Equal(data, want) {
		t.Errorf("REQ_ONE: %x, want %x", data, want)
	}
	c.chunk(2)

	// However much is asked for, the reply is bounded.
	c.request(cmdBlockStatus, 0, 3, 0, 1<<30)
	for range 2 {
		if _, _, data = c.chunk(3); len(data) != 4+8*maxDescriptors {
			t.Errorf("reply of %d bytes, want the maximum of %d", len(data), 4+8*maxDescriptors)
		}
	}
	c.request(cmdBlockStatus, 0, 4, 1<<30, 1)
	c.expectError(4, eInval)
	c.disconnect()
}

func TestBlockStatus_OfADeviceThatCannotTellIsData(t *testing.T) {
	_, dial := serveDevices(t, Options{}, Export{Device: struct{ block.Reader }{block.NewMemory(1 << 20)}})
	c := connect(t, dial(), "", true, contextAllocation, contextOverlay)
	c.request(cmdBlockStatus, 0, 1, 5, 1<<20-5)
	flags, _, data := c.chunk(1)
	if want := encode(uint32(1), uint32(1<<20-5), uint32(0)); flags != replyFlagDone || !bytes.Equal(data, want) {
		t.Errorf("flags %d %x, want %x", flags, data, want)
	}
	c.disconnect()
}

func TestShutdown_AnswersWhatIsAtTheDeviceAndRefusesTheRest(t *testing.T) {
	g := newGate(1<<20, func(_ int64, write bool) bool { return write })
	s, dial := serveDevices(t, Options{}, Export{Device: g})
	busy, idle := connect(t, dial(), "", false), connect(t, dial(), "", false)
	busy.request(cmdWrite, 0, 1, 0, 4, "data")
	eventually(t, "the write to reach the device", func() bool { return g.inside.Load() == 1 })

	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	idle.expectEnd()
	eventually(t, "draining", s.draining.Load)
	busy.request(cmdRead, 0, 2, 0, 16)
	busy.expectSimple(2, errnoShutdown)
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned (%v) with a request at the device", err)
	default:
	}
	close(g.open)
	busy.expectSimple(1, 0)
	busy.expectEnd()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestShutdown_GivesUpWithItsContext(t *testing.T) {
	g := newGate(1<<20, func(_ int64, write bool) bool { return write })
	s, dial := serveDevices(t, Options{}, Export{Device: g})
	c := connect(t, dial(), "", false)
	c.request(cmdWrite, 0, 1, 0, 4, "data")
	eventually(t, "the write to reach the device", func() bool { return g.inside.Load() == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Shutdown: %v", err)
	}
	c.expectEnd()
	close(g.open)
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatalf("second Shutdown: %v", err)
	}
}

// Readers are relieved again and again while all is random: nothing may be
// lost, doubled or mixed up. Run it with the race detector.
func TestPipeline_SurvivesReadersBeingRelieved(t *testing.T) {
	const size, clients = 1 << 20, 4
	slow := &slowDevice{Device: block.NewMemory(size)}
	_, dial := serveDevices(t, Options{}, Export{Device: slow})
	r := newRemote(t, dial(), size, true)
	defer r.Close()
	var wg sync.WaitGroup
	for g := range clients {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(g)))
			part := int64(size / clients)
			model := make([]byte, part)
			for range 150 {
				off := rnd.Int64N(part)
				n := min(part-off, 1+rnd.Int64N(1<<rnd.IntN(18)))
				p := model[off : off+n]
				if rnd.IntN(2) == 0 {
					for i := range p {
						p[i] = byte(rnd.Uint32())
					}
					if _, err := r.WriteAt(p, int64(g)*part+off); err != nil {
						t.Error(err)
						return
					}
					continue
				}
				got := make([]byte, n)
				if _, err := r.ReadAt(got, int64(g)*part+off); err != nil || !bytes.Equal(got, p) {
					t.Errorf("client %d: %d bytes at %d differ (%v)", g, n, off, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
