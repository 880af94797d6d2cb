package diskimage

import (
	"bytes"
	"testing"
)

// Whatever a partition table says, the volumes lie inside of the image.
func FuzzVolumes(f *testing.F) {
	mbr := make([]byte, 4096)
	copy(mbr[446:], []byte{0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0})
	copy(mbr[510:], "\x55\xAA")
	copy(mbr[512+446:], []byte{0, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5})
	copy(mbr[1022:], "\x55\xAA")
	f.Add(mbr)
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := volumes(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, v := range list {
			if v.start < 0 || v.size < 0 || v.start+v.size > int64(len(b)) {
				t.Errorf("%s: %d bytes from %d of %d", v, v.size, v.start, len(b))
			}
		}
	})
}
