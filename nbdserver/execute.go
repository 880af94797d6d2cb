package nbdserver

import (
	"github.com/pojntfx/go-nbd/pkg/protocol"

	"github.com/snapview/snapview/block"
)

// zeros is what WRITE_ZEROES with NO_HOLE writes.
var zeros [256 << 10]byte

// sparseReadMin is the shortest READ in bytes for which it is worth asking the
// device whether it is all zeros.
const sparseReadMin = 64 << 10

// read fills p from the export at off.
func (x *export) read(p []byte, off int64) uint32 {
	// A Reader may say io.EOF with a full count at the very end.
	n, err := x.Device.ReadAt(p, off)
	if n < len(p) {
		return x.failed(protocol.TRANSMISSION_TYPE_REQUEST_READ, off, int64(len(p)), err)
	}
	x.stats.reads.Add(1)
	x.stats.readBytes.Add(uint64(n))
	return 0
}

// write writes p at off, to stable storage if fua.
func (x *export) write(p []byte, off int64, fua bool) uint32 {
	if _, err := x.dev.WriteAt(p, off); err != nil {
		return x.failed(protocol.TRANSMISSION_TYPE_REQUEST_WRITE, off, int64(len(p)), err)
	}
	if fua {
		if err := x.dev.Sync(); err != nil {
			return x.failed(protocol.TRANSMISSION_TYPE_REQUEST_WRITE, off, int64(len(p)), err)
		}
	}
	x.stats.writes.Add(1)
	x.stats.writtenBytes.Add(uint64(len(p)))
	return 0
}

// failed counts and reports a request that the device failed.
func (x *export) failed(cmd uint16, off, n int64, err error) uint32 {
	x.stats.faults.Add(1)
	if x.fault != nil {
		x.fault(Fault{Export: x.Name, Command: commandName(cmd), Offset: off, Length: n, Err: err})
	}
	if errno := errnoOf(err); errno != 0 {
		return errno
	}
	return errnoIO // a short read without an error breaks io.ReaderAt's contract
}

// execute runs q, which was validated, and encodes its reply in q.out. It is
// the workers' side; reader.inline is the other.
func (c *conn) execute(q *request) {
	x := c.exp.Load()
	errno := q.errno
	if errno == 0 {
		switch q.cmd {
		case protocol.TRANSMISSION_TYPE_REQUEST_READ:
			if c.structured && q.flags&cmdFlagDF == 0 && q.n >= sparseReadMin && x.allZero(q.off, q.n) {
				x.stats.reads.Add(1)
				x.stats.readBytes.Add(uint64(q.n))
				q.out = appendHole(q.small[:0], q.cookie, q.off, q.n)
				return
			}
			data := q.buf.b[replyRoom : replyRoom+q.n]
			if errno = x.read(data, q.off); errno == 0 {
				start := replyRoom - c.readHeaderSize()
				if q.n == 0 && c.structured {
					start = replyRoom - structuredReplySize
				}
				c.appendReadHeader(q.buf.b[start:start], q.cookie, q.off, q.n)
				q.out = q.buf.b[start : replyRoom+q.n]
				return
			}
		case protocol.TRANSMISSION_TYPE_REQUEST_WRITE:
			errno = x.write(q.buf.b[:q.n], q.off, q.flags&cmdFlagFUA != 0)
		case cmdBlockStatus:
			if errno = c.blockStatus(x, q); errno == 0 {
				return
			}
		default:
			errno = c.change(x, q)
		}
	}
	q.out = c.appendReply(q.small[:0], q.cmd, errno, q.cookie)
}

// change runs the commands without data in either direction.
func (c *conn) change(x *export, q *request) uint32 {
	var err error
	switch q.cmd {
	case cmdFlush:
		err = x.flush()
	case cmdTrim:
		err = x.dev.Zero(q.off, q.n)
	case cmdCache:
		if x.cache != nil {
			x.cache.Prefetch(q.off, q.n)
		}
	case cmdWriteZeroes:
		switch {
		case q.flags&cmdFlagNoHole == 0:
			err = x.dev.Zero(q.off, q.n)
		case q.flags&cmdFlagFastZero != 0:
			return errnoNotSup // without a hole it is no faster than a WRITE
		default:
			err = c.writeZeros(x.dev, q.off, q.n)
		}
	}
	if err == nil && q.flags&cmdFlagFUA != 0 && q.changes() && q.cmd != cmdFlush {
		err = x.dev.Sync()
	}
	if err != nil {
		return x.failed(q.cmd, q.off, q.n, err)
	}
	x.stats.others.Add(1)
	return 0
}

// flush makes earlier writes stable; a read-only export has none.
func (x *export) flush() error {
	if x.dev == nil {
		return nil
	}
	return x.dev.Sync()
}

// writeZeros writes real zeros, for clients that do not want a hole. What the
// device makes of them is its business.
func (c *conn) writeZeros(dev block.Device, off, n int64) error {
	for n > 0 {
		if err := c.ctx.Err(); err != nil {
			return err // the client has gone; nobody waits for the rest
		}
		k := min(n, int64(len(zeros)))
		if _, err := dev.WriteAt(zeros[:k], off); err != nil {
			return err
		}
		off, n = off+k, n-k
	}
	return nil
}
