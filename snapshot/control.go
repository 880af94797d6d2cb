package snapshot

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"time"
)

// Versions this build opens.
const (
	MinMajor = 10
	MaxMajor = 18
)

// controlSize is how much of pg_control is read. The file is 8192 bytes, of
// which PostgreSQL keeps everything it uses in the first 512 (one sector).
const controlSize = 512

// DBState is the state that pg_control records.
type DBState uint32

// States, as PostgreSQL numbers them (src/include/catalog/pg_control.h).
const (
	StateStartingUp DBState = iota
	StateShutDown
	StateShutDownInRecovery
	StateShuttingDown
	StateCrashRecovery
	StateArchiveRecovery
	StateInProduction
)

// String gives pg_controldata's words.
func (s DBState) String() string {
	names := [...]string{
		"starting up", "shut down", "shut down in recovery", "shutting down",
		"in crash recovery", "in archive recovery", "in production",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return "unrecognized status code"
}

// MarshalText makes a state its words in JSON.
func (s DBState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Control is what snapview uses of pg_control.
type Control struct {
	SystemID       uint64
	ControlVersion uint32
	CatalogVersion uint32
	BigEndian      bool
	MaxAlign       uint32

	State          DBState
	Time           time.Time // of the last update of pg_control
	CheckpointLSN  LSN
	RedoLSN        LSN
	Timeline       uint32
	PrevTimeline   uint32
	CheckpointTime time.Time

	MinRecoveryLSN      LSN
	MinRecoveryTimeline uint32
	BackupStartLSN      LSN
	BackupEndLSN        LSN
	BackupEndRequired   bool

	Limits Limits

	BlockSize       uint32
	RelSegBlocks    uint32
	WALBlockSize    uint32
	WALSegmentSize  uint32
	ChecksumVersion uint32 // 0: pages carry none
}

// controlLayout names what differs between versions of the struct. Only the
// versions of released PostgreSQL majors are known here; forks have their own.
type controlLayout struct {
	prevCheckpoint bool // 10: a second checkpoint pointer
	fullXID        bool // 12 on: the next transaction's ID in 64 bits
	walSenders     bool // 12 on
	signedness     bool // 18 on
}

var controlLayouts = map[uint32]controlLayout{
	1002: {prevCheckpoint: true},                              // 10
	1100: {},                                                  // 11
	1201: {fullXID: true, walSenders: true},                   // 12
	1300: {fullXID: true, walSenders: true},                   // 13 to 16
	1700: {fullXID: true, walSenders: true},                   // 17
	1800: {fullXID: true, walSenders: true, signedness: true}, // 18
}

// catalogVersions are those of the released majors (catversion.h): with the
// control version they tell PostgreSQL from its forks and betas.
var catalogVersions = map[int]uint32{
	10: 201707211, 11: 201809051, 12: 201909212, 13: 202007201, 14: 202107181,
	15: 202209061, 16: 202307071, 17: 202406281, 18: 202506291,
}

// Major returns the major version of PostgreSQL that the catalogue's version
// is of, 0 for one that is not known.
func (c *Control) Major() int {
	for major, v := range catalogVersions {
		if v == c.CatalogVersion {
			return major
		}
	}
	return 0
}

// ParseControl reads the contents of global/pg_control. It refuses what does
// not match its own checksum (ErrDamaged) and what another program or
// architecture wrote (ErrUnsupported).
func ParseControl(b []byte) (*Control, error) {
	if len(b) < 296 {
		return nil, Errorf(ErrDamaged, "global/pg_control has only %d bytes; PostgreSQL writes 8192", len(b))
	}
	var order binary.ByteOrder = binary.LittleEndian
	version := order.Uint32(b[8:])
	if version == 0 {
		return nil, Errorf(ErrDamaged, "global/pg_control is zeros")
	}
	if _, known := controlLayouts[bits.ReverseBytes32(version)]; known {
		order, version = binary.BigEndian, bits.ReverseBytes32(version)
	}
	layout, known := controlLayouts[version]
	if !known {
		return nil, Errorf(ErrUnsupported, "global/pg_control has format version %d, which is none of PostgreSQL %d to %d: "+
			"another major version, or a fork of PostgreSQL", version, MinMajor, MaxMajor)
	}
	// 32-bit hosts align 64-bit fields to 4 bytes; the checksum tells.
	for _, align := range []int{8, 4} {
		c, ok := decodeControl(b, order, align, layout)
		if !ok {
			continue
		}
		c.BigEndian = order == binary.ByteOrder(binary.BigEndian)
		if err := c.check(); err != nil {
			return nil, err
		}
		return c, nil
	}
	return nil, Errorf(ErrDamaged, "global/pg_control does not match its own CRC-32C: the file is damaged, or was copied while it was written")
}

// check refuses values that would break arithmetic later.
func (c *Control) check() error {
	pow2 := func(n, lo, hi uint32) bool { return n >= lo && n <= hi && n&(n-1) == 0 }
	switch {
	case !pow2(c.BlockSize, 1<<10, 32<<10), !pow2(c.WALBlockSize, 1<<10, 64<<10),
		!pow2(c.WALSegmentSize, 1<<20, 1<<30), c.RelSegBlocks == 0:
		return Errorf(ErrDamaged, "global/pg_control: impossible sizes: block %d, segment of %d blocks, WAL block %d, WAL segment %d",
			c.BlockSize, c.RelSegBlocks, c.WALBlockSize, c.WALSegmentSize)
	case c.State > StateInProduction:
		return Errorf(ErrDamaged, "global/pg_control: unknown cluster state %d", c.State)
	}
	return nil
}

// A structReader walks over a C struct, aligning each field by its size.
type structReader struct {
	b     []byte
	off   int
	order binary.ByteOrder
	align int // of 8-byte fields
}

func (r *structReader) pad(n int) { r.off = (r.off + n - 1) / n * n }

func (r *structReader) u32() uint32 {
	r.pad(4)
	r.off += 4
	return r.order.Uint32(r.b[r.off-4:])
}

func (r *structReader) u64() uint64 {
	r.pad(r.align)
	r.off += 8
	return r.order.Uint64(r.b[r.off-8:])
}

func (r *structReader) flag() bool { r.off++; return r.b[r.off-1] != 0 }
func (r *structReader) lsn() LSN   { return LSN(r.u64()) }
func (r *structReader) count() int { return int(int32(r.u32())) }

func (r *structReader) time() time.Time {
	if t := int64(r.u64()); t > 0 && t < 1<<40 {
		return time.Unix(t, 0).UTC()
	}
	return time.Time{}
}

// decodeControl reads ControlFileData in the order of its declaration; ok is
// false if the checksum does not fit. b has at least 296 bytes, the size of
// the largest variant.
func decodeControl(b []byte, order binary.ByteOrder, align int, l controlLayout) (*Control, bool) {
	b = append(bytes.Clone(b[:min(len(b), controlSize)]), make([]byte, 64)...)
	r := &structReader{b: b, order: order, align: align}
	c := &Control{}
	c.SystemID = r.u64()
	c.ControlVersion = r.u32()
	c.CatalogVersion = r.u32()
	c.State = DBState(r.u32())
	c.Time = r.time()
	c.CheckpointLSN = r.lsn()
	if l.prevCheckpoint {
		r.u64()
	}

	// CheckPoint, aligned as its largest member
	r.pad(align)
	c.RedoLSN = r.lsn()
	c.Timeline = r.u32()
	c.PrevTimeline = r.u32()
	r.flag() // fullPageWrites
	r.pad(4)
	r.u32() // nextXidEpoch; padding, or 17's wal_level, since 12
	if l.fullXID {
		r.u64() // nextXid
	} else {
		r.u32()
	}
	for range 7 { // nextOid to oldestMultiDB
		r.u32()
	}
	c.CheckpointTime = r.time()
	r.u32() // oldestCommitTsXid
	r.u32() // newestCommitTsXid
	r.u32() // oldestActiveXid
	r.pad(align)

	r.u64() // unloggedLSN
	c.MinRecoveryLSN = r.lsn()
	c.MinRecoveryTimeline = r.u32()
	c.BackupStartLSN = r.lsn()
	c.BackupEndLSN = r.lsn()
	c.BackupEndRequired = r.flag()
	c.Limits.WALLevel = walLevel(r.u32())
	c.Limits.WALLogHints = r.flag()
	c.Limits.MaxConnections = r.count()
	c.Limits.MaxWorkerProcesses = r.count()
	if l.walSenders {
		c.Limits.MaxWALSenders = r.count()
	}
	c.Limits.MaxPreparedXacts = r.count()
	c.Limits.MaxLocksPerXact = r.count()
	c.Limits.TrackCommitTimestamp = r.flag()
	c.MaxAlign = r.u32()
	floatFormat := math.Float64frombits(r.u64())
	c.BlockSize = r.u32()
	c.RelSegBlocks = r.u32()
	c.WALBlockSize = r.u32()
	c.WALSegmentSize = r.u32()
	for range 4 { // nameDataLen, indexMaxKeys, toast_max_chunk_size, loblksize
		r.u32()
	}
	r.flag() // float4ByVal until 12, float8ByVal since
	r.flag() // float8ByVal until 12
	c.ChecksumVersion = r.u32()
	if l.signedness {
		r.flag()
	}
	r.off += 32 // mock_authentication_nonce
	r.pad(4)
	sum := crc32.Checksum(b[:r.off], castagnoli)
	ok := sum == r.u32() && floatFormat == 1234567.0
	return c, ok
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func walLevel(n uint32) string {
	switch n {
	case 0:
		return "minimal"
	case 1:
		return "replica"
	case 2:
		return "logical"
	}
	return "unknown"
}
