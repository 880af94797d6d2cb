package cow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/RoaringBitmap/roaring/v2"
)

// formatVersion is the version of the format that this package writes, and the
// only one that it reads.
const formatVersion = 1

// DamageError says where a metadata file is damaged. It is ErrDamaged.
type DamageError struct {
	Path   string
	Offset int64 // of the damaged frame in the file, in bytes
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s: damaged at byte %d: %s; the layer and those above it cannot be opened: discard them, or restore the file",
		e.Path, e.Offset, e.Reason)
}

// Unwrap makes errors.Is(err, ErrDamaged) true.
func (e *DamageError) Unwrap() error { return ErrDamaged }

// header is the first record of a map file.
type header struct {
	version   uint32
	blockSize uint32
	size      int64
	base      BaseID
	id        LayerID
	parent    LayerID
	salt      [16]byte
	created   time.Time
	sealed    bool
	// whole is the number of frames, this one included, that were written
	// before the file got its name: none of them can be missing. A sealed
	// file has no others.
	whole uint64
}

const headerLen = 4 + 4 + 8 + 32 + 16 + 16 + 16 + 8 + 8 + 8

func (h *header) encode() []byte {
	b := make([]byte, 0, headerLen)
	b = binary.LittleEndian.AppendUint32(b, h.version)
	b = binary.LittleEndian.AppendUint32(b, h.blockSize)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.size))
	b = append(b, h.base[:]...)
	b = append(b, h.id[:]...)
	b = append(b, h.parent[:]...)
	b = append(b, h.salt[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.created.UnixNano()))
	var flags uint64
	if h.sealed {
		flags = 1
	}
	b = binary.LittleEndian.AppendUint64(b, flags)
	return binary.LittleEndian.AppendUint64(b, h.whole)
}

func decodeHeader(b []byte) (header, error) {
	var h header
	if len(b) < 4 {
		return h, errors.New("header too short")
	}
	le := binary.LittleEndian
	if h.version = le.Uint32(b); h.version != formatVersion {
		return h, fmt.Errorf("format version %d, this program knows only %d", h.version, formatVersion)
	}
	if len(b) != headerLen {
		return h, fmt.Errorf("header of %d bytes, should be %d", len(b), headerLen)
	}
	if h.blockSize = le.Uint32(b[4:]); h.blockSize != BlockSize {
		return h, fmt.Errorf("block size %d, this program knows only %d", h.blockSize, BlockSize)
	}
	h.size = int64(le.Uint64(b[8:]))
	if h.size < 0 || h.size > MaxVirtualSize {
		return h, fmt.Errorf("virtual size %d is not between 0 and %d", h.size, MaxVirtualSize)
	}
	copy(h.base[:], b[16:])
	copy(h.id[:], b[48:])
	copy(h.parent[:], b[64:])
	copy(h.salt[:], b[80:])
	h.created = time.Unix(0, int64(le.Uint64(b[96:])))
	flags := le.Uint64(b[104:])
	if flags > 1 {
		return h, fmt.Errorf("unknown flags %#x", flags)
	}
	h.sealed = flags == 1
	if h.whole = le.Uint64(b[112:]); h.whole < 1 {
		return h, errors.New("header counts no frames")
	}
	if h.id.IsBase() || h.id == h.parent {
		return h, errors.New("header without a layer id of its own")
	}
	return h, nil
}

// encodeBlocks is the payload of recState and recDelta: the lengths of two
// bitmaps in the RoaringBitmap interchange format, and the two.
func encodeBlocks(held, zero *roaring.Bitmap) ([]byte, error) {
	h, z := held.GetSerializedSizeInBytes(), zero.GetSerializedSizeInBytes()
	b := bytes.NewBuffer(make([]byte, 8, 8+h+z)) // megabytes: made once
	binary.LittleEndian.PutUint32(b.Bytes(), uint32(h))
	binary.LittleEndian.PutUint32(b.Bytes()[4:], uint32(z))
	if _, err := held.WriteTo(b); err != nil {
		return nil, err
	}
	if _, err := zero.WriteTo(b); err != nil {
		return nil, err
	}
	if n := uint64(b.Len()); n != 8+h+z {
		return nil, fmt.Errorf("bitmaps of %d and %d bytes take %d", h, z, n-8)
	}
	return b.Bytes(), nil
}

// decodeBlocks checks everything that the rest of the package relies on: no
// block beyond the device, none both held and zero.
func decodeBlocks(b []byte, blocks uint64) (held, zero *roaring.Bitmap, err error) {
	if len(b) < 8 {
		return nil, nil, errors.New("block record too short")
	}
	nh, nz := uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[4:]))
	if b = b[8:]; nh+nz != uint64(len(b)) {
		return nil, nil, fmt.Errorf("bitmaps of %d and %d bytes in a record of %d", nh, nz, len(b))
	}
	if held, err = decodeBitmap(b[:nh], blocks); err != nil {
		return nil, nil, fmt.Errorf("bitmap of held blocks: %w", err)
	}
	if zero, err = decodeBitmap(b[nh:], blocks); err != nil {
		return nil, nil, fmt.Errorf("bitmap of zero blocks: %w", err)
	}
	if held.Intersects(zero) {
		return nil, nil, errors.New("a block is both held and zero")
	}
	return held, zero, nil
}

func decodeBitmap(b []byte, blocks uint64) (m *roaring.Bitmap, err error) {
	defer func() {
		if r := recover(); r != nil { // the library is not ours to trust
			m, err = nil, fmt.Errorf("unreadable: %v", r)
		}
	}()
	m = roaring.New()
	if err := m.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	if err := m.Validate(); err != nil && !m.IsEmpty() {
		return nil, err
	}
	if !m.IsEmpty() && uint64(m.Maximum()) >= blocks {
		return nil, fmt.Errorf("block %d on a device of %d", m.Maximum(), blocks)
	}
	return m, nil
}

// seal is what a sealed layer has besides its blocks.
type seal struct {
	at   time.Time
	name string
}

// maxName bounds the names of checkpoints and references, in bytes.
const maxName = 255

func (s *seal) encode() []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(s.at.UnixNano()))
	return append(b, s.name...)
}

func decodeSeal(b []byte) (seal, error) {
	if len(b) < 8 || len(b) > 8+maxName {
		return seal{}, fmt.Errorf("seal record of %d bytes", len(b))
	}
	return seal{time.Unix(0, int64(binary.LittleEndian.Uint64(b))), string(b[8:])}, nil
}
