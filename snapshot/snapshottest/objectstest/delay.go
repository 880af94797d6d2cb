package objectstest

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A Delay is a listener that forwards connections with a delay, as a network
// with that round trip would.
type Delay struct {
	Address string
	l       net.Listener
	target  string
	oneWay  time.Duration

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// NewDelay listens on a free port of the loopback and forwards to target with
// the given round trip.
func NewDelay(target string, roundTrip time.Duration) (*Delay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &Delay{Address: l.Addr().String(), l: l, target: target, oneWay: roundTrip / 2, conns: map[net.Conn]bool{}}
	go d.serve()
	return d, nil
}

// Close ends it, with its connections.
func (d *Delay) Close() error {
	err := d.l.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		err = errors.Join(err, c.Close())
	}
	d.conns = nil
	return err
}

func (d *Delay) serve() {
	for {
		in, err := d.l.Accept()
		if err != nil {
			return
		}
		go func() {
			time.Sleep(2 * d.oneWay) // connecting takes a round trip too
			out, err := net.Dial("tcp", d.target)
			if err != nil || !d.keep(in, out) {
				_ = in.Close()
				return
			}
			go d.copy(out, in)
			d.copy(in, out)
		}()
	}
}

func (d *Delay) keep(conns ...net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conns == nil {
		return false
	}
	for _, c := range conns {
		d.conns[c] = true
	}
	return true
}

// A packet is sent on when its time has come.
type packet struct {
	at time.Time
	b  []byte
}

// copy forwards one direction. What is under way is bounded: 64 MiB.
func (d *Delay) copy(to, from net.Conn) {
	line := make(chan packet, 256)
	go func() {
		defer close(line)
		for {
			b := make([]byte, 256<<10)
			n, err := from.Read(b)
			if n > 0 {
				line <- packet{time.Now().Add(d.oneWay), b[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	failed := false
	for p := range line {
		if failed {
			continue // until the reader has seen it
		}
		time.Sleep(time.Until(p.at))
		if _, err := to.Write(p.b); err != nil {
			failed = true
			d.drop(from)
		}
	}
	if c, ok := to.(interface{ CloseWrite() error }); ok && !failed {
		if err := c.CloseWrite(); err == nil {
			return
		}
	}
	d.drop(to)
}

func (d *Delay) drop(c io.Closer) { _ = c.Close() }
