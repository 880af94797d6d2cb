package nbdserver

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pojntfx/go-nbd/pkg/protocol"
)

// maxOption is the longest option in bytes that is looked at; longer ones, up
// to maxOptionSkip, are skipped and refused. A name takes 4 KiB at most, so
// this leaves room for a dozen long metadata queries.
const (
	maxOption     = 64 << 10
	maxOptionSkip = 1 << 20
)

const optionHeaderSize = 16

// haggling is the state of the option phase.
type haggling struct {
	c           *conn
	rd          *reader
	flags       uint32 // the client's
	secure      bool   // inside TLS
	structured  bool
	contexts    []metaContext
	contextsFor *export // the export for which contexts were selected
	out         []byte  // replies to the current option
}

// handshake negotiates until the client has chosen an export. It returns
// errGoodbye when the client wants none.
func (c *conn) handshake(rd *reader) error {
	if err := c.nc.SetDeadline(time.Now().Add(c.srv.opts.HandshakeTimeout)); err != nil {
		return err
	}
	h := &haggling{c: c, rd: rd}
	greeting := protocol.NegotiationNewstyleHeader{
		OldstyleMagic:  protocol.NEGOTIATION_MAGIC_OLDSTYLE,
		OptionMagic:    protocol.NEGOTIATION_MAGIC_OPTION,
		HandshakeFlags: protocol.NEGOTIATION_HANDSHAKE_FLAG_FIXED_NEWSTYLE | handshakeNoZeroes,
	}
	h.put(greeting)
	if err := h.send(); err != nil {
		return err
	}
	if err := rd.need(4, waitOption); err != nil {
		return quiet(err)
	}
	h.flags = binary.BigEndian.Uint32(rd.in[rd.r:])
	rd.r += 4
	if unknown := h.flags &^ (clientFixedNewstyle | clientNoZeroes); unknown != 0 {
		return fmt.Errorf("unknown client flags %#x", unknown)
	}
	for {
		chosen, err := h.option()
		if err != nil {
			return err
		}
		if chosen == nil {
			continue
		}
		c.structured = h.structured
		if h.contextsFor == chosen {
			c.contexts = h.contexts
		}
		c.exp.Store(chosen)
		return nil
	}
}

// quiet turns a client that hangs up between two options into errGoodbye:
// that is how many take their leave.
func quiet(err error) error {
	if goneQuietly(err) {
		return errGoodbye
	}
	return err
}

// option handles one option. chosen is not nil when it ended the haggling.
func (h *haggling) option() (chosen *export, err error) {
	if err := h.rd.need(optionHeaderSize, waitOption); err != nil {
		return nil, quiet(err)
	}
	b := h.rd.in[h.rd.r:]
	o := protocol.NegotiationOptionHeader{
		OptionMagic: binary.BigEndian.Uint64(b),
		ID:          binary.BigEndian.Uint32(b[8:]),
		Length:      binary.BigEndian.Uint32(b[12:]),
	}
	h.rd.r += optionHeaderSize
	if o.OptionMagic != protocol.NEGOTIATION_MAGIC_OPTION {
		return nil, fmt.Errorf("option magic is %#x, not %#x", o.OptionMagic, protocol.NEGOTIATION_MAGIC_OPTION)
	}
	if o.Length > maxOption {
		if o.Length > maxOptionSkip || o.ID == optExportName {
			return nil, fmt.Errorf("option %d has %d bytes", o.ID, o.Length)
		}
		if err := h.skip(int(o.Length)); err != nil {
			return nil, err
		}
		return nil, h.answer(o.ID, repErrTooBig, "option too long")
	}
	if err := h.rd.need(int(o.Length), waitOption); err != nil {
		return nil, unexpected(err)
	}
	data := h.rd.in[h.rd.r : h.rd.r+int(o.Length)]
	h.rd.r += int(o.Length)
	return h.dispatch(o.ID, data)
}

func (h *haggling) dispatch(id uint32, data []byte) (chosen *export, err error) {
	if h.c.srv.opts.RequireTLS && !h.secure && id != optStartTLS && id != protocol.NEGOTIATION_ID_OPTION_ABORT {
		if id == optExportName {
			return nil, errors.New("client wants no TLS, which is required here")
		}
		return nil, h.answer(id, repErrTLSRequired, "TLS is required here")
	}
	if h.c.srv.draining.Load() && id != protocol.NEGOTIATION_ID_OPTION_ABORT && id != optExportName {
		return nil, h.answer(id, repErrShutdown, "server is shutting down")
	}
	switch id {
	case optExportName:
		return h.exportName(string(data))
	case protocol.NEGOTIATION_ID_OPTION_ABORT:
		h.answer(id, protocol.NEGOTIATION_TYPE_REPLY_ACK, "") //nolint:errcheck // it may have hung up
		return nil, errGoodbye
	case protocol.NEGOTIATION_ID_OPTION_LIST:
		return nil, h.list(data)
	case optStartTLS:
		return nil, h.startTLS(data)
	case protocol.NEGOTIATION_ID_OPTION_INFO, protocol.NEGOTIATION_ID_OPTION_GO:
		if h.flags == 0 && len(data) == 0 && id == protocol.NEGOTIATION_ID_OPTION_GO {
			return h.unframedGo()
		}
		return h.info(id, data)
	case optStructuredReply:
		if len(data) != 0 {
			return nil, h.answer(id, repErrInvalid, "unexpected data")
		}
		h.structured = true
		return nil, h.answer(id, protocol.NEGOTIATION_TYPE_REPLY_ACK, "")
	case optSetMetaContext, optListMetaContext:
		return nil, h.meta(id, data)
	}
	return nil, h.answer(id, protocol.NEGOTIATION_TYPE_REPLY_ERR_UNSUPPORTED, "unknown option")
}

// exportName is the old way to choose an export: there is no reply to refuse
// with.
func (h *haggling) exportName(name string) (*export, error) {
	x := h.c.srv.lookup(name)
	if x == nil {
		return nil, fmt.Errorf("no export %.100q", name)
	}
	h.out = binary.BigEndian.AppendUint64(h.out, uint64(x.size))
	h.out = binary.BigEndian.AppendUint16(h.out, h.transmissionFlags(x))
	if h.flags&clientNoZeroes == 0 {
		h.out = append(h.out, make([]byte, 124)...)
	}
	return x, h.send()
}

func (h *haggling) list(data []byte) error {
	const id = protocol.NEGOTIATION_ID_OPTION_LIST
	if len(data) != 0 {
		return h.answer(id, repErrInvalid, "unexpected data")
	}
	for _, x := range h.c.srv.list() {
		h.head(id, protocol.NEGOTIATION_TYPE_REPLY_SERVER, 4+len(x.Name)+len(x.Description))
		h.out = binary.BigEndian.AppendUint32(h.out, uint32(len(x.Name)))
		h.out = append(append(h.out, x.Name...), x.Description...)
	}
	return h.answer(id, protocol.NEGOTIATION_TYPE_REPLY_ACK, "")
}

// info answers INFO and GO; the latter ends the haggling.
func (h *haggling) info(id uint32, data []byte) (*export, error) {
	p := fields{b: data}
	name := p.text()
	wanted := make(map[uint16]bool)
	for n := p.uint16(); n > 0 && !p.bad; n-- {
		wanted[p.uint16()] = true
	}
	if p.bad || len(p.b) != 0 {
		return nil, h.answer(id, repErrInvalid, "malformed option")
	}
	x := h.c.srv.lookup(name)
	if x == nil {
		return nil, h.answer(id, protocol.NEGOTIATION_TYPE_REPLY_ERR_UNKNOWN, "no such export")
	}
	h.describe(id, x, wanted)
	if err := h.answer(id, protocol.NEGOTIATION_TYPE_REPLY_ACK, ""); err != nil {
		return nil, err
	}
	if id == protocol.NEGOTIATION_ID_OPTION_INFO {
		return nil, nil
	}
	return x, nil
}

// unframedGo serves go-nbd's client (v0.3.2), which sends client flags 0 and a
// GO of length 0, and what should be the option's data behind it. Without a
// name it asks for "default". No conforming client sends such a GO: its data
// is never empty.
func (h *haggling) unframedGo() (*export, error) {
	const id = protocol.NEGOTIATION_ID_OPTION_GO
	rd := h.rd
	if err := rd.need(4, waitOption); err != nil {
		return nil, unexpected(err)
	}
	n := binary.BigEndian.Uint32(rd.in[rd.r:])
	if n > maxName {
		return nil, fmt.Errorf("export name of %d bytes", n)
	}
	if err := rd.need(4+int(n)+2, waitOption); err != nil {
		return nil, unexpected(err)
	}
	name := string(rd.in[rd.r+4 : rd.r+4+int(n)])
	infos := int(binary.BigEndian.Uint16(rd.in[rd.r+4+int(n):]))
	rd.r += 4 + int(n) + 2
	if err := h.skip(2 * infos); err != nil {
		return nil, err
	}
	x := h.c.srv.lookup(name)
	if x == nil && name == "default" {
		x = h.c.srv.lookup("")
	}
	if x == nil {
		return nil, h.answer(id, protocol.NEGOTIATION_TYPE_REPLY_ERR_UNKNOWN, "")
	}
	h.describe(id, x, nil)
	return x, h.answer(id, protocol.NEGOTIATION_TYPE_REPLY_ACK, "")
}

// describe appends what is to be known about x. The block sizes are told
// unasked: a client that does not want them ignores them, and go-nbd's needs
// them.
func (h *haggling) describe(id uint32, x *export, wanted map[uint16]bool) {
	h.head(id, protocol.NEGOTIATION_TYPE_REPLY_INFO, 12)
	h.put(protocol.NegotiationReplyInfo{
		Type:              protocol.NEGOTIATION_TYPE_INFO_EXPORT,
		Size:              uint64(x.size),
		TransmissionFlags: h.transmissionFlags(x),
	})
	if wanted[protocol.NEGOTIATION_TYPE_INFO_NAME] {
		h.head(id, protocol.NEGOTIATION_TYPE_REPLY_INFO, 2+len(x.Name))
		h.put(protocol.NegotiationReplyNameHeader{Type: protocol.NEGOTIATION_TYPE_INFO_NAME})
		h.out = append(h.out, x.Name...)
	}
	if wanted[protocol.NEGOTIATION_TYPE_INFO_DESCRIPTION] && x.Description != "" {
		h.head(id, protocol.NEGOTIATION_TYPE_REPLY_INFO, 2+len(x.Description))
		h.put(protocol.NegotiationReplyDescriptionHeader{Type: protocol.NEGOTIATION_TYPE_INFO_DESCRIPTION})
		h.out = append(h.out, x.Description...)
	}
	h.head(id, protocol.NEGOTIATION_TYPE_REPLY_INFO, 14)
	h.put(protocol.NegotiationReplyBlockSize{
		Type:               protocol.NEGOTIATION_TYPE_INFO_BLOCKSIZE,
		MinimumBlockSize:   1,
		PreferredBlockSize: preferredBlock,
		MaximumBlockSize:   MaxPayload,
	})
}

// preferredBlock is the overlay's block in bytes: smaller writes make it copy.
const preferredBlock = 4096

func (h *haggling) transmissionFlags(x *export) uint16 {
	if h.structured {
		return x.flags | flagSendDF
	}
	return x.flags
}

// startTLS puts the connection inside TLS and forgets what was said before:
// an attacker could have said it.
func (h *haggling) startTLS(data []byte) error {
	switch {
	case len(data) != 0:
		return h.answer(optStartTLS, repErrInvalid, "unexpected data")
	case h.secure:
		return h.answer(optStartTLS, repErrInvalid, "TLS is active already")
	case h.c.srv.opts.TLS == nil:
		return h.answer(optStartTLS, repErrPolicy, "TLS is not configured here")
	}
	// Anything that came with the option in clear would be taken as if it
	// came inside TLS.
	if h.rd.r != h.rd.w {
		return errors.New("client sent data between STARTTLS and its answer")
	}
	if err := h.answer(optStartTLS, protocol.NEGOTIATION_TYPE_REPLY_ACK, ""); err != nil {
		return err
	}
	session := tls.Server(h.c.nc, h.c.srv.opts.TLS)
	if err := session.HandshakeContext(h.c.ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	h.c.rw = session
	h.secure, h.structured, h.contexts, h.contextsFor = true, false, nil, nil
	return nil
}

// answer sends what has been gathered and a last reply to the option, with a
// message for people if it is an error.
func (h *haggling) answer(id, typ uint32, text string) error {
	h.head(id, typ, len(text))
	h.out = append(h.out, text...)
	return h.send()
}

// head appends the header of a reply with n bytes of data.
func (h *haggling) head(id, typ uint32, n int) {
	h.put(protocol.NegotiationReplyHeader{
		ReplyMagic: protocol.NEGOTIATION_MAGIC_REPLY, ID: id, Type: typ, Length: uint32(n),
	})
}

// put appends one of protocol's structures.
func (h *haggling) put(v any) {
	h.out, _ = binary.Append(h.out, binary.BigEndian, v) // cannot fail: fixed-size structures
}

func (h *haggling) send() error {
	_, err := h.c.rw.Write(h.out)
	h.out = h.out[:0]
	return err
}

// skip drops n bytes of the client's.
func (h *haggling) skip(n int) error {
	for n > 0 {
		if err := h.rd.need(1, waitOption); err != nil {
			return unexpected(err)
		}
		k := min(n, h.rd.w-h.rd.r)
		h.rd.r += k
		n -= k
	}
	return nil
}

// unexpected is for a client that hangs up inside an option.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
