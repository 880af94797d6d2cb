package nbdserver

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/block"
)

// A socket is a client's connection read and written with system calls of its
// own, for the sake of how it waits: see lot. It has a descriptor of its own, of
// which Go's poller knows nothing; the net.Conn that it was made from is closed.
//
// One goroutine at a time reads, and one writes; the other methods may be called
// at any time.
type socket struct {
	fd      int
	in, out *lot

	// What is being read, and written; the steps are made once, so that no
	// request allocates.
	p        []byte
	waiting  func() // called before a Read waits
	iov      [][]byte
	file     block.FileRange
	rn       int
	rerr     error
	werr     error
	receive  func(uintptr) bool
	transmit func(uintptr) bool
	splice   func(uintptr) bool

	gone   atomic.Bool // cut from our side
	mu     sync.Mutex
	closed bool
}

// sendBuffer is how many bytes of replies a unix socket takes before its writer
// must wait (the kernel doubles it for its own needs). With the usual 208 KiB
// client and server wake each other five times for a READ of 1 MiB, and half of
// the time goes there. TCP finds out by itself.
const sendBuffer = 1 << 20

// takeOver makes a socket of nc and closes nc. It returns nil, and leaves nc
// alone, when nc is no socket (TLS for example) or the system has no descriptors
// left.
func takeOver(nc net.Conn) *socket {
	switch nc.(type) {
	case *net.UnixConn, *net.TCPConn:
	default:
		return nil
	}
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{fd: -1}
	raw.Control(func(fd uintptr) { //nolint:errcheck // fd stays -1
		if n, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			s.fd = n
		}
	})
	if s.fd < 0 {
		return nil
	}
	if s.in, err = newLot(s.fd, true); err == nil {
		s.out, err = newLot(s.fd, false)
	}
	if err != nil {
		s.close()
		return nil
	}
	if _, ok := nc.(*net.UnixConn); ok && unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		// Without privileges the system's limit holds.
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer) //nolint:errcheck // only slower
	}
	s.receive, s.transmit, s.splice = s.stepReceive, s.stepTransmit, s.stepSplice
	nc.Close()
	return s
}

// Read is io.Reader's. It calls waiting, unless it is nil, before it waits for
// the client.
func (s *socket) Read(p []byte, waiting func()) (int, error) {
	s.p, s.waiting = p, waiting
	err := s.in.run(s.receive)
	s.p, s.waiting = nil, nil
	if err != nil {
		return 0, err
	}
	return s.rn, s.rerr
}

func (s *socket) stepReceive(uintptr) bool {
	s.in.begin()
	for {
		n, err := unix.Read(s.fd, s.p)
		if err == unix.EAGAIN {
			if s.waiting != nil {
				s.waiting()
				s.waiting = nil
			}
			var again bool
			if again, err = s.in.wait(); err == nil {
				if again {
					continue
				}
				return false
			}
		}
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 && len(s.p) > 0 {
			err = io.EOF
		}
		s.rn, s.rerr = max(n, 0), s.wrap("read", err)
		return true
	}
}

// maxVector is how many pieces are sent by one writev(2) at most: as many as
// package unix takes without allocating.
const maxVector = 8

// write sends the pieces one after the other and forgets them.
func (s *socket) write(iov [][]byte) error {
	s.iov, s.werr = iov, nil
	if err := s.out.run(s.transmit); err != nil {
		return err
	}
	return s.werr
}

func (s *socket) stepTransmit(uintptr) bool {
	s.out.begin()
	for len(s.iov) > 0 {
		var n int
		var err error
		if len(s.iov) == 1 {
			n, err = unix.Write(s.fd, s.iov[0])
		} else {
			n, err = unix.Writev(s.fd, s.iov[:min(len(s.iov), maxVector)])
		}
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			var again bool
			if again, s.werr = s.out.wait(); s.werr != nil || !again {
				return s.werr != nil
			}
		case err != nil:
			s.werr = s.wrap("write", err)
			return true
		default:
			s.advance(n)
		}
	}
	return true
}

// advance drops n bytes that were sent.
func (s *socket) advance(n int) {
	for len(s.iov) > 0 && n >= len(s.iov[0]) {
		n -= len(s.iov[0])
		s.iov = s.iov[1:]
	}
	if n > 0 {
		s.iov[0] = s.iov[0][n:]
	}
}

// sendFile sends r without a copy through memory. When it fails, part of r may
// have been sent.
func (s *socket) sendFile(r block.FileRange) error {
	s.file, s.werr = r, nil
	if err := s.out.run(s.splice); err != nil {
		return err
	}
	return s.werr
}

func (s *socket) stepSplice(uintptr) bool {
	s.out.begin()
	for s.file.Length > 0 {
		n, err := unix.Sendfile(s.fd, int(s.file.FD), &s.file.Offset, int(s.file.Length))
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			var again bool
			if again, s.werr = s.out.wait(); s.werr != nil || !again {
				return s.werr != nil
			}
		case err != nil:
			s.werr = s.wrap("sendfile", err)
			return true
		case n == 0:
			s.werr = io.ErrUnexpectedEOF // the file is shorter than its owner thinks
			return true
		default:
			s.file.Length -= int64(n)
		}
	}
	return true
}

// wrap makes an error of a system call's. What fails because we have cut the
// connection says so.
func (s *socket) wrap(call string, err error) error {
	if err != nil && s.gone.Load() {
		return net.ErrClosed
	}
	if errno, ok := err.(syscall.Errno); ok {
		return os.NewSyscallError(call, errno)
	}
	return err
}

// SetReadDeadline makes a Read that waits, or will, fail at t.
func (s *socket) SetReadDeadline(t time.Time) error { return s.in.setDeadline(t) }

// SetWriteDeadline is SetReadDeadline for what writes.
func (s *socket) SetWriteDeadline(t time.Time) error { return s.out.setDeadline(t) }

// cut ends the connection in both directions: whoever waits for the client
// wakes up. The descriptor stays.
func (s *socket) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone.Store(true)
	if !s.closed {
		unix.Shutdown(s.fd, unix.SHUT_RDWR) //nolint:errcheck // fails when the client has gone
	}
}

// close releases everything. Nobody may be reading or writing.
func (s *socket) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.in.close()
	s.out.close()
	unix.Close(s.fd) //nolint:errcheck // nothing is left to lose
}
