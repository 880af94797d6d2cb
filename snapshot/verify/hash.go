package verify

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"hash/crc32"

	"github.com/snapview/snapview/snapshot"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newHash returns what computes the wanted kind of checksum; of none it
// computes nothing.
func newHash(want *snapshot.Checksum) (hash.Hash, error) {
	if want == nil {
		return nothing{}, nil
	}
	switch want.Algorithm {
	case "CRC32C":
		return littleEndian{crc32.New(castagnoli)}, nil
	case "SHA1": // pgBackRest
		return sha1.New(), nil
	case "SHA224":
		return sha256.New224(), nil
	case "SHA256":
		return sha256.New(), nil
	case "SHA384":
		return sha512.New384(), nil
	case "SHA512":
		return sha512.New(), nil
	}
	return nil, fmt.Errorf("its checksum is of a kind that is not known here, %.20q", want.Algorithm)
}

// littleEndian turns a CRC's bytes around: PostgreSQL writes the number as it
// lies in the memory of the host, and every host it is opened for is little-endian.
type littleEndian struct{ hash.Hash }

func (h littleEndian) Sum(b []byte) []byte {
	s := h.Hash.Sum(nil)
	return append(b, s[3], s[2], s[1], s[0])
}

// nothing is a hash of files that have no checksum.
type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Sum(b []byte) []byte         { return b }
func (nothing) Reset()                      {}
func (nothing) Size() int                   { return 0 }
func (nothing) BlockSize() int              { return 1 }
