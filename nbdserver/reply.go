package nbdserver

import (
	"encoding/binary"

	"github.com/pojntfx/go-nbd/pkg/protocol"
)

// appendSimple appends a simple reply's header (protocol's
// TransmissionReplyHeader).
func appendSimple(b []byte, errno uint32, cookie uint64) []byte {
	b = binary.BigEndian.AppendUint32(b, protocol.TRANSMISSION_MAGIC_REPLY)
	b = binary.BigEndian.AppendUint32(b, errno)
	return binary.BigEndian.AppendUint64(b, cookie)
}

// appendChunk appends the header of a structured reply's chunk with n bytes of
// payload.
func appendChunk(b []byte, flags, typ uint16, cookie uint64, n int) []byte {
	b = binary.BigEndian.AppendUint32(b, magicStructuredReply)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, typ)
	b = binary.BigEndian.AppendUint64(b, cookie)
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

// readHeaderSize is how many bytes go before a READ's data.
func (c *conn) readHeaderSize() int {
	if c.structured {
		return replyRoom
	}
	return simpleReplySize
}

// appendReadHeader appends what goes before the data of a READ. The protocol
// forbids a data chunk without data, which only a client that asks for nothing
// can get: it is told "none".
func (c *conn) appendReadHeader(b []byte, cookie uint64, off, n int64) []byte {
	if !c.structured {
		return appendSimple(b, 0, cookie)
	}
	if n == 0 {
		return appendChunk(b, replyFlagDone, replyNone, cookie, 0)
	}
	b = appendChunk(b, replyFlagDone, replyOffsetData, cookie, 8+int(n))
	return binary.BigEndian.AppendUint64(b, uint64(off))
}

// appendReply appends a whole reply without data: success, or an error. READ
// and BLOCK_STATUS need structured ones once these are negotiated; the others
// may have simple ones, which are shorter.
func (c *conn) appendReply(b []byte, cmd uint16, errno uint32, cookie uint64) []byte {
	structured := c.structured && (cmd == protocol.TRANSMISSION_TYPE_REQUEST_READ || cmd == cmdBlockStatus)
	switch {
	case !structured:
		return appendSimple(b, errno, cookie)
	case errno == 0:
		return appendChunk(b, replyFlagDone, replyNone, cookie, 0)
	}
	text := errorText(errno)
	b = appendChunk(b, replyFlagDone, replyError, cookie, 6+len(text))
	b = binary.BigEndian.AppendUint32(b, errno)
	b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
	return append(b, text...)
}

// appendHole appends the reply to a READ of which every byte is zero.
func appendHole(b []byte, cookie uint64, off, n int64) []byte {
	b = appendChunk(b, replyFlagDone, replyOffsetHole, cookie, 12)
	b = binary.BigEndian.AppendUint64(b, uint64(off))
	return binary.BigEndian.AppendUint32(b, uint32(n))
}
