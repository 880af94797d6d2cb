package main

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"

	"github.com/pojntfx/go-nbd/pkg/protocol"

	"github.com/snapview/snapview/block"
)

// A lie is how a liar answers READs.
type lie int32

const (
	truth       lie = iota
	wrongAnswer     // an error, as the protocol has it
	wrongMagic      // a reply that is none
	wrongCookie     // a reply to a request that there was not
	brokenOff       // half of the data, and the end of the connection
	halted          // half of the data, and no more
	silence         // nothing
)

// A liar is an NBD server that tells the truth until it is told to lie. It
// speaks as little of the protocol as the kernel needs.
type liar struct {
	d      block.Device
	lie    atomic.Int32
	halted atomic.Int32 // connections that halted
	once   atomic.Bool  // lie on one connection only
	l      net.Listener
}

// startLiar serves d on a unix socket.
func startLiar(d block.Device) (a *liar, socket string, err error) {
	socket = unique("/run/liar")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, "", err
	}
	a = &liar{d: d, l: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _ = a.serve(c) }()
		}
	}()
	return a, socket, nil
}

func (a *liar) stop() { a.l.Close() }

// greet is the handshake: NBD_OPT_GO for any export.
func (a *liar) greet(c net.Conn) error {
	be := binary.BigEndian
	hello := be.AppendUint64([]byte("NBDMAGIC"), protocol.NEGOTIATION_MAGIC_OPTION)
	if _, err := c.Write(be.AppendUint16(hello, 3)); err != nil { // fixed newstyle, no zeroes
		return err
	}
	head := make([]byte, 4+16) // the client's flags, an option's header
	if _, err := io.ReadFull(c, head); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, c, int64(be.Uint32(head[16:]))); err != nil {
		return err
	}
	info := be.AppendUint64(be.AppendUint16(nil, protocol.NEGOTIATION_TYPE_INFO_EXPORT), uint64(a.d.Size()))
	info = be.AppendUint16(info, 1|1<<2|1<<8) // flags, FLUSH, several connections
	var out bytes.Buffer
	for _, r := range []struct {
		kind uint32
		data []byte
	}{{protocol.NEGOTIATION_TYPE_REPLY_INFO, info}, {protocol.NEGOTIATION_TYPE_REPLY_ACK, nil}} {
		err := binary.Write(&out, be, protocol.NegotiationReplyHeader{
			ReplyMagic: protocol.NEGOTIATION_MAGIC_REPLY, ID: protocol.NEGOTIATION_ID_OPTION_GO,
			Type: r.kind, Length: uint32(len(r.data)),
		})
		if err != nil {
			return err
		}
		out.Write(r.data)
	}
	_, err := c.Write(out.Bytes())
	return err
}

func (a *liar) serve(c net.Conn) error {
	if err := a.greet(c); err != nil {
		return err
	}
	for {
		var q protocol.TransmissionRequestHeader
		if err := binary.Read(c, binary.BigEndian, &q); err != nil {
			return err
		}
		var data []byte
		errno := uint32(0)
		switch q.Type {
		case protocol.TRANSMISSION_TYPE_REQUEST_READ:
			data = make([]byte, q.Length)
			if _, err := a.d.ReadAt(data, int64(q.Offset)); err != nil {
				return err
			}
		case protocol.TRANSMISSION_TYPE_REQUEST_WRITE:
			p := make([]byte, q.Length)
			if _, err := io.ReadFull(c, p); err != nil {
				return err
			}
			if _, err := a.d.WriteAt(p, int64(q.Offset)); err != nil {
				return err
			}
		case protocol.TRANSMISSION_TYPE_REQUEST_DISC:
			return nil
		}
		magic, cookie, end := uint32(protocol.TRANSMISSION_MAGIC_REPLY), q.Handle, false
		how := truth
		if q.Type == protocol.TRANSMISSION_TYPE_REQUEST_READ {
			how = lie(a.lie.Load())
			if how != truth && a.once.Load() {
				a.lie.Store(int32(truth))
			}
		}
		switch how {
		case wrongAnswer:
			errno, data = protocol.TRANSMISSION_ERROR_EINVAL, nil
		case wrongMagic:
			magic ^= 1
		case wrongCookie:
			cookie ^= 1 << 60
		case brokenOff, halted:
			data, end = data[:len(data)/2], how == brokenOff
		case silence:
			continue
		}
		reply := binary.BigEndian.AppendUint32(nil, magic)
		reply = binary.BigEndian.AppendUint32(reply, errno)
		reply = binary.BigEndian.AppendUint64(reply, cookie)
		if _, err := c.Write(append(reply, data...)); err != nil || end {
			return err
		}
		if how == halted {
			a.halted.Add(1)
			if _, err := io.Copy(io.Discard, c); err != nil {
				return err
			}
		}
	}
}
