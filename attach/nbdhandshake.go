package attach

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/pojntfx/go-nbd/pkg/protocol"
)

// The client's side of the NBD handshake, as far as a kernel client needs it:
// fixed newstyle and NBD_OPT_GO. Format:
// https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
//
// go-nbd's client is not used: it sends NBD_OPT_GO with a wrong length, which
// conforming servers refuse, and does not tell the kernel the export's flags.

// Transmission flags that decide what the kernel does.
const (
	nbdFlagHasFlags     = 1 << 0
	nbdFlagReadOnly     = 1 << 1
	nbdFlagCanMultiConn = 1 << 8
)

const (
	nbdFlagFixedNewstyle = 1 << 0
	nbdFlagNoZeroes      = 1 << 1
	nbdMagic             = uint64(0x4e42444d41474943) // "NBDMAGIC"
	// maxHandshakeReply bounds what a server may make us read at once.
	maxHandshakeReply = 64 << 10
)

// nbdExport is what a server says about an export.
type nbdExport struct {
	size  int64 // in bytes
	flags uint16
}

// handshake brings a new connection to the transmission phase of the export.
// The caller sets the deadline.
func handshake(c io.ReadWriter, export string) (nbdExport, error) {
	var none nbdExport
	if len(export) > 4096 {
		return none, errors.New("NBD export name is longer than 4096 bytes")
	}
	var hello protocol.NegotiationNewstyleHeader
	if err := binary.Read(c, binary.BigEndian, &hello); err != nil {
		return none, fmt.Errorf("read the NBD server's greeting: %w", err)
	}
	if hello.OldstyleMagic != nbdMagic || hello.OptionMagic != protocol.NEGOTIATION_MAGIC_OPTION ||
		hello.HandshakeFlags&nbdFlagFixedNewstyle == 0 {
		return none, errors.New("the server does not speak NBD's fixed newstyle handshake")
	}
	var out bytes.Buffer
	be := binary.BigEndian
	b := be.AppendUint32(nil, uint32(hello.HandshakeFlags&(nbdFlagFixedNewstyle|nbdFlagNoZeroes)))
	b = be.AppendUint64(b, protocol.NEGOTIATION_MAGIC_OPTION)
	b = be.AppendUint32(b, protocol.NEGOTIATION_ID_OPTION_GO)
	b = be.AppendUint32(b, uint32(4+len(export)+2))
	b = be.AppendUint32(b, uint32(len(export)))
	b = append(b, export...)
	b = be.AppendUint16(b, 0) // no information requests beyond the export's size
	out.Write(b)
	if _, err := c.Write(out.Bytes()); err != nil {
		return none, fmt.Errorf("send NBD_OPT_GO: %w", err)
	}
	return goReplies(c, export)
}

// goReplies reads the replies to NBD_OPT_GO up to the acknowledgement.
func goReplies(c io.Reader, export string) (nbdExport, error) {
	var (
		result nbdExport
		known  bool
	)
	for range 1000 {
		var h protocol.NegotiationReplyHeader
		if err := binary.Read(c, binary.BigEndian, &h); err != nil {
			return result, fmt.Errorf("read the reply to NBD_OPT_GO: %w", err)
		}
		if h.ReplyMagic != protocol.NEGOTIATION_MAGIC_REPLY || h.ID != protocol.NEGOTIATION_ID_OPTION_GO {
			return result, errors.New("the NBD server answers with a reply of another kind")
		}
		if h.Length > maxHandshakeReply {
			return result, fmt.Errorf("the NBD server sends a reply of %d bytes", h.Length)
		}
		data := make([]byte, h.Length)
		if _, err := io.ReadFull(c, data); err != nil {
			return result, fmt.Errorf("read the reply to NBD_OPT_GO: %w", err)
		}
		switch {
		case h.Type&(1<<31) != 0:
			return result, fmt.Errorf("the NBD server refuses export %q: %s", export, replyError(h.Type, data))
		case h.Type == protocol.NEGOTIATION_TYPE_REPLY_ACK:
			if !known {
				return result, errors.New("the NBD server does not tell the export's size")
			}
			return result, nil
		case h.Type == protocol.NEGOTIATION_TYPE_REPLY_INFO && len(data) >= 12 &&
			binary.BigEndian.Uint16(data) == protocol.NEGOTIATION_TYPE_INFO_EXPORT:
			size := binary.BigEndian.Uint64(data[2:])
			if size > 1<<62 {
				return result, fmt.Errorf("the NBD server tells a size of %d bytes", size)
			}
			result = nbdExport{size: int64(size), flags: binary.BigEndian.Uint16(data[10:]) | nbdFlagHasFlags}
			known = true
		}
	}
	return result, errors.New("the NBD server sends information without end")
}

// replyError puts an error reply in words.
func replyError(kind uint32, message []byte) string {
	names := map[uint32]string{1: "option not supported", 2: "not allowed", 3: "invalid request",
		4: "not supported on this platform", 5: "TLS required", 6: "no such export", 7: "shutting down",
		8: "block size must be negotiated", 9: "too big"}
	name := names[kind&^(1<<31)]
	if name == "" {
		name = fmt.Sprintf("error %#x", kind)
	}
	if len(message) > 0 {
		name += fmt.Sprintf(" (%.200q)", message)
	}
	return name
}

// negotiate dials the server and returns connections in transmission phase:
// as many as wanted when the server says that several see the same data, else
// one. The caller closes them.
func negotiate(dial func() (net.Conn, error), export string, wanted int) (conns []net.Conn, e nbdExport, err error) {
	defer func() {
		if err != nil {
			closeAll(conns)
			conns = nil
		}
	}()
	for len(conns) < max(wanted, 1) {
		c, err := dial()
		if err != nil {
			return conns, e, err
		}
		conns = append(conns, c)
		got, err := handshake(c, export)
		if err != nil {
			return conns, e, err
		}
		if len(conns) > 1 && got != e {
			return conns, e, errors.New("the NBD server tells each connection something else about the export")
		}
		e = got
		if e.flags&nbdFlagCanMultiConn == 0 {
			break
		}
	}
	return conns, e, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		_ = c.Close()
	}
}
