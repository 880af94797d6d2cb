package nbdserver

// What the NBD protocol defines and go-nbd's protocol package does not. Names
// follow doc/proto.md with the NBD_ prefix dropped.

// Handshake flags (server) and client flags.
const (
	handshakeNoZeroes = uint16(1 << 1)

	clientFixedNewstyle = uint32(1 << 0)
	clientNoZeroes      = uint32(1 << 1)
)

// Options beyond ABORT, LIST, INFO and GO.
const (
	optExportName      = uint32(1)
	optStartTLS        = uint32(5)
	optStructuredReply = uint32(8)
	optListMetaContext = uint32(9)
	optSetMetaContext  = uint32(10)
)

// Option replies beyond ACK, SERVER and INFO.
const (
	repMetaContext    = uint32(4)
	repErrPolicy      = uint32(1<<31 | 2)
	repErrInvalid     = uint32(1<<31 | 3)
	repErrTLSRequired = uint32(1<<31 | 5)
	repErrShutdown    = uint32(1<<31 | 7)
	repErrTooBig      = uint32(1<<31 | 9)
)

// Transmission flags beyond HAS_FLAGS and CAN_MULTI_CONN.
const (
	flagReadOnly        = uint16(1 << 1)
	flagSendFlush       = uint16(1 << 2)
	flagSendFUA         = uint16(1 << 3)
	flagSendTrim        = uint16(1 << 5)
	flagSendWriteZeroes = uint16(1 << 6)
	flagSendDF          = uint16(1 << 7)
	flagSendCache       = uint16(1 << 10)
	flagSendFastZero    = uint16(1 << 11)
)

// Commands beyond READ, WRITE and DISC.
const (
	cmdFlush       = uint16(3)
	cmdTrim        = uint16(4)
	cmdCache       = uint16(5)
	cmdWriteZeroes = uint16(6)
	cmdBlockStatus = uint16(7)
)

// Command flags.
const (
	cmdFlagFUA      = uint16(1 << 0)
	cmdFlagNoHole   = uint16(1 << 1)
	cmdFlagDF       = uint16(1 << 2)
	cmdFlagReqOne   = uint16(1 << 3)
	cmdFlagFastZero = uint16(1 << 4)
)

// Structured replies.
const (
	magicStructuredReply = uint32(0x668e33ef)

	replyFlagDone = uint16(1 << 0)

	replyNone        = uint16(0)
	replyOffsetData  = uint16(1)
	replyOffsetHole  = uint16(2)
	replyBlockStatus = uint16(5)
	replyError       = uint16(1<<15 | 1)
)

// Errors on the wire beyond EPERM and EINVAL.
const (
	errnoIO       = uint32(5)
	errnoNoMem    = uint32(12)
	errnoNoSpace  = uint32(28)
	errnoOverflow = uint32(75)
	errnoNotSup   = uint32(95)
	errnoShutdown = uint32(108)
)

// Sizes of fixed structures on the wire, in bytes.
const (
	requestSize         = 28
	simpleReplySize     = 16
	structuredReplySize = 20
	// replyRoom is what a READ's reply needs beyond its data: a structured
	// reply header and the offset.
	replyRoom = structuredReplySize + 8
)

// States in replies to BLOCK_STATUS. Those of base:allocation are the
// protocol's.
const (
	stateHole = uint32(1 << 0)
	stateZero = uint32(1 << 1)

	// snapview:overlay: the block is held by the overlay, and it is zeros.
	// Neither means that the block is still the base's and has data.
	overlayHeld = uint32(1 << 0)
	overlayZero = uint32(1 << 1)
)
