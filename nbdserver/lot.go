package nbdserver

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lingerTime is how long a thread waits for a client that was busy a moment ago
// before its goroutine is parked, and by how much a deadline may be late.
const lingerTime = 2 * time.Millisecond

// A lot is where a goroutine waits until a socket is ready for one direction.
//
// Go's poller is made for many connections. For one client that waits for its
// answers it takes two or three epoll_wait(2) for each of them and wakes other
// threads for nothing, which costs more than a small request does. So a goroutine
// lingers first: its thread waits in poll(2), for lingerTime at most. A thread in
// a system call keeps its share of GOMAXPROCS for a while, and others may have to
// wait for that; therefore nobody lingers while more connections are awake than
// half of GOMAXPROCS. With many of them the poller is the better way anyhow.
//
// For the poller to be left alone meanwhile it must not know the socket: every
// packet would wake a thread of it. What it knows is an epoll instance that holds
// the socket and is armed only when somebody parks.
//
// One goroutine at a time waits; setDeadline may be called at any time.
type lot struct {
	fd     int
	poll   int16  // for what, as poll(2) has it
	events uint32 // and epoll(7)
	ep     *os.File
	epfd   int
	raw    syscall.RawConn
	limit  int64 // of connections that are awake while one lingers
	reads  bool  // counts as awake unless it is parked

	// Owned by the goroutine that waits.
	armed bool
	tried bool // to linger, in vain
	up    bool // counted in awake
}

// awake counts the connections of this process of which nobody is parked for
// reading.
var awake atomic.Int64

func newLot(fd int, reads bool) (l *lot, err error) {
	l = &lot{fd: fd, poll: unix.POLLOUT, events: unix.EPOLLOUT, reads: reads, limit: int64(runtime.GOMAXPROCS(0) / 2)}
	if reads {
		l.poll, l.events = unix.POLLIN|unix.POLLRDHUP, unix.EPOLLIN|unix.EPOLLRDHUP
	}
	if l.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err = unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{}); err == nil {
		err = unix.SetNonblock(l.epfd, true) // or else os keeps it from the poller
	}
	if err != nil {
		unix.Close(l.epfd) //nolint:errcheck // the other error tells more
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	l.ep = os.NewFile(uintptr(l.epfd), "epoll")
	if l.raw, err = l.ep.SyscallConn(); err == nil {
		err = l.ep.SetDeadline(time.Time{}) // fails if the poller has not taken it
	}
	if err != nil {
		l.ep.Close()
		return nil, err
	}
	return l, nil
}

// run calls step until it returns true. Whenever it returns false, run parks and
// calls it again when the socket may be ready.
func (l *lot) run(step func(uintptr) bool) error { return l.raw.Read(step) }

// begin is what a step calls first.
func (l *lot) begin() {
	l.tried = false
	if l.reads && !l.up {
		l.up = true
		awake.Add(1)
	}
}

// linger waits for a moment, if it may, and reports whether the socket is ready
// now.
func (l *lot) linger() bool {
	if awake.Load() > l.limit {
		return false
	}
	l.tried = true
	if l.armed && l.arm(0) != nil {
		return false
	}
	p := [1]unix.PollFd{{Fd: int32(l.fd), Events: l.poll}}
	n, err := unix.Poll(p[:], int(lingerTime/time.Millisecond))
	if n > 0 || err == unix.EINTR {
		l.tried = false
	}
	return !l.tried
}

// wait is what a step calls when the socket is not ready. With again the step
// must look once more, otherwise return false to be parked.
func (l *lot) wait() (again bool, err error) {
	switch {
	case !l.tried && l.linger():
		return true, nil
	case !l.armed:
		// The kernel does not tell, or not for sure, of what came before this.
		return true, l.arm(l.events)
	}
	l.rest()
	return false, nil
}

// rest counts the connection as asleep.
func (l *lot) rest() {
	if l.up {
		l.up = false
		awake.Add(-1)
	}
}

func (l *lot) arm(events uint32) error {
	l.armed = events != 0
	err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_MOD, l.fd, &unix.EpollEvent{Events: events})
	return os.NewSyscallError("epoll_ctl", err)
}

// setDeadline makes a run that waits, or will, fail at t.
func (l *lot) setDeadline(t time.Time) error { return l.ep.SetReadDeadline(t) }

// close releases the lot. Nobody may be waiting.
func (l *lot) close() {
	if l != nil {
		l.rest()
		l.ep.Close() //nolint:errcheck // nothing is left to lose
	}
}
