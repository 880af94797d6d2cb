package nbdserver

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/snapview/snapview/block"
)

// socketPair returns a socket and its client.
func socketPair(t *testing.T) (*socket, net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := takeOver(nc)
	if s == nil {
		t.Fatal("the connection was not taken over")
	}
	t.Cleanup(s.close)
	return s, client
}

// Clients that pause for about as long as a reader lingers, alone and among
// others, find every way there is between reading, lingering and being parked. A
// wake-up that is lost on one of them leaves a client waiting.
func TestSocket_LosesNoWakeUp(t *testing.T) {
	for _, clients := range []int{1, 2, 3, 8} {
		var wg sync.WaitGroup
		for i := range clients {
			s, client := socketPair(t)
			client.SetDeadline(time.Now().Add(60 * time.Second))
			wg.Go(func() { // echoes
				buf := make([]byte, 64<<10)
				for {
					n, err := s.Read(buf, nil)
					if err == nil {
						err = s.write([][]byte{buf[:n/2], buf[n/2 : n]})
					}
					if err != nil {
						if !errors.Is(err, io.EOF) {
							t.Errorf("%d clients: echo: %v", clients, err)
						}
						return
					}
				}
			})
			wg.Go(func() {
				defer client.Close()
				rnd := rand.New(rand.NewPCG(uint64(clients), uint64(i)))
				got := make([]byte, 32<<10)
				for range 2000 {
					if rnd.IntN(20) == 0 {
						time.Sleep(time.Duration(rnd.Int64N(int64(2 * lingerTime))))
					}
					out := got[:1+rnd.IntN(1<<(2+rnd.IntN(14)))]
					if _, err := client.Write(out); err != nil {
						t.Errorf("%d clients: %v", clients, err)
						return
					}
					if _, err := io.ReadFull(client, out); err != nil {
						t.Errorf("%d clients: no answer: %v", clients, err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

// A client that takes replies slowly makes the writer linger and park in the
// middle of pieces and of files.
func TestSocket_SendsWholeToASlowClient(t *testing.T) {
	m, want := newMapped(t, 4<<20)
	s, client := socketPair(t)
	client.SetDeadline(time.Now().Add(60 * time.Second))
	const rounds = 3
	done := make(chan error, 1)
	go func() {
		for range rounds {
			pieces := make([][]byte, 0, 20)
			for i := range cap(pieces) {
				pieces = append(pieces, want[i<<17:(i+1)<<17])
			}
			if err := s.write(pieces); err != nil {
				done <- err
				return
			}
			if err := s.sendFile(block.FileRange{FD: m.Fd(), Offset: 1 << 20, Length: 3 << 20}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	expect := append(append([]byte(nil), want[:20<<17]...), want[1<<20:]...)
	got := make([]byte, len(expect))
	for range rounds {
		for k := 0; k < len(got); {
			n, err := client.Read(got[k:min(len(got), k+300<<10)])
			if err != nil {
				t.Fatalf("after %d bytes: %v", k, err)
			}
			k += n
			if k%7 == 0 {
				time.Sleep(lingerTime + time.Millisecond)
			}
		}
		if !bytes.Equal(got, expect) {
			t.Fatal("other bytes arrived than were sent")
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSocket_DeadlinesAndCutsWakeWhoWaits(t *testing.T) {
	buf := make([]byte, 100)
	for name, wake := range map[string]struct {
		call func(*socket)
		want error
	}{
		"a deadline": {func(s *socket) { s.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"a cut":      {(*socket).cut, net.ErrClosed},
	} {
		for _, pause := range []time.Duration{0, lingerTime / 2, 20 * lingerTime} {
			s, _ := socketPair(t)
			result := make(chan error, 1)
			go func() {
				_, err := s.Read(buf, nil)
				result <- err
			}()
			time.Sleep(pause)
			wake.call(s)
			select {
			case err := <-result:
				if !errors.Is(err, wake.want) {
					t.Errorf("%s after %v: %v, expected %v", name, pause, err, wake.want)
				}
			case <-time.After(60 * time.Second):
				t.Fatalf("%s after %v did not wake the reader", name, pause)
			}
		}
	}
}

// A client that sends a byte whenever the reader is about to park never lets it,
// and must not outlast a deadline for it.
func TestSocket_ADeadlineHoldsForAClientThatDrips(t *testing.T) {
	s, client := socketPair(t)
	s.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := client.Write([]byte{1}); err != nil {
				return
			}
			time.Sleep(lingerTime / 4)
		}
	}()
	var b [1]byte
	for until := time.Now().Add(60 * time.Second); time.Now().Before(until); {
		if _, err := s.Read(b[:], nil); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("read for a minute past a deadline of 100 ms")
}

// Every connection gives its descriptors back, and its share of awake.
func TestSocket_LeavesNothingBehind(t *testing.T) {
	descriptors := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	s, dial := serveDevices(t, Options{}, Export{Device: block.NewMemory(1 << 20)})
	before, up := descriptors(), awake.Load()
	for range 5 {
		nc := dial()
		c := connect(t, nc, "", false)
		c.request(cmdRead, 0, 1, 0, 4096)
		c.expectSimple(1, 0)
		c.expect(make([]byte, 4096))
		c.disconnect()
		nc.Close()
	}
	eventually(t, "the clients to go", func() bool { return s.Connections() == 0 })
	eventually(t, "the descriptors to be closed", func() bool { runtime.GC(); return descriptors() <= before })
	if n := awake.Load(); n != up {
		t.Errorf("%d connections count as awake, %d did before", n, up)
	}
}

// What comes between a look at the socket and the arming of its lot may never be
// told, so a step has to look again after it.
func TestLot_LooksAgainOnceArmed(t *testing.T) {
	s, _ := socketPair(t)
	s.in.tried = true // to linger
	for i, want := range []bool{true, false} {
		if again, err := s.in.wait(); again != want || err != nil {
			t.Errorf("wait %d: look again %v (%v), expected %v", i+1, again, err, want)
		}
	}
}
