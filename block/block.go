// Package block is the waist of snapview: the few small interfaces that every
// layer between a backup and the kernel speaks.
//
// A Reader is an immutable range of bytes: the virtual ext4 image over a
// snapshot. A Device is a Reader that also takes writes: the overlay over a
// Reader. Everything above (the NBD server, the FUSE file, the kernel) sees
// only these.
//
// The other interfaces are optional: a layer that can say more than its bytes
// implements them, and a caller asks for them by a type assertion.
package block

import "io"

// A Reader gives random access to a fixed number of bytes.
//
// ReadAt follows io.ReaderAt to the letter: it may be called from many
// goroutines at once, returns io.EOF with a short count at the end, and a
// non-nil error whenever it returns fewer bytes than were asked for.
type Reader interface {
	io.ReaderAt

	// Size returns the length in bytes. It never changes.
	Size() int64
}

// A Device is a Reader that takes writes.
//
// All methods may be called concurrently. Concurrent operations on ranges that
// do not overlap do not disturb each other, whatever their alignment. Of
// overlapping concurrent writes every byte is one of those written.
type Device interface {
	Reader

	// WriteAt follows io.WriterAt. A write that reaches past Size fails
	// without writing anything.
	io.WriterAt

	// Zero makes the n bytes at off read as zeros, using as little space as
	// the device can. It serves discard, trim and write-zeroes alike. A range
	// past Size fails without zeroing anything.
	Zero(off, n int64) error

	// Sync returns once everything written before the call is on stable
	// storage.
	Sync() error

	// Close releases the device; it implies no Sync. Calling it again is
	// harmless and returns nil. Every other method fails with os.ErrClosed
	// after it.
	Close() error
}

// A FileRange is a run of bytes that lies as it is in a file of the host, so
// that a caller may splice instead of copying through memory.
type FileRange struct {
	FD     uintptr // valid until Release is called
	Offset int64   // within the file, in bytes
	Length int64   // in bytes, at least 1
}

// A FileMapper knows which of its bytes lie verbatim in a file of the host.
type FileMapper interface {
	// MapFile returns the longest run starting at off, at most n bytes, that
	// lies in one file. ok is false when the byte at off lies in none.
	// release, never nil when ok, must be called when FD is no longer used.
	MapFile(off, n int64) (r FileRange, release func(), ok bool)
}

// A Prefetcher can be told that a range will be read soon. It is a hint: it
// returns at once, never fails, and may do nothing.
type Prefetcher interface {
	Prefetch(off, n int64)
}

// ExtentState says what is known of a run of bytes.
type ExtentState uint8

const (
	// ExtentZero marks bytes that read as zeros and take no space
	// (NBD_STATE_HOLE|NBD_STATE_ZERO in the NBD protocol's terms).
	ExtentZero ExtentState = 1 << iota
	// ExtentHeld marks bytes that the overlay holds, as opposed to those
	// that are still the base's.
	ExtentHeld
)

// An Extent is a run of bytes of one state.
type Extent struct {
	Offset int64
	Length int64
	State  ExtentState
}

// An ExtentMapper can say, without reading the bytes, which of them are
// zeros and which are held by the overlay.
type ExtentMapper interface {
	// Extents calls yield for consecutive extents that cover the n bytes at
	// off, in order, without gap, until yield returns false. Neighbouring
	// extents may have equal states.
	Extents(off, n int64, yield func(Extent) bool) error
}
