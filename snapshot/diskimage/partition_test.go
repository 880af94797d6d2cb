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

// Whatever a volume group's text says, its volumes lie inside of their disks.
func FuzzLogicals(f *testing.F) {
	f.Add(`vg { id = "g" extent_size = 8 physical_volumes { pv0 { id = "a-b" pe_start = 2 } } logical_volumes { l { segment1 { extent_count = 3 type = "striped" stripes = ["pv0", 1] } } } }`)
	f.Add("vg { # comment\n a = [ \"x\\\"\", 1 ] }")
	f.Fuzz(func(t *testing.T, text string) {
		name, config, err := parseLVM(text)
		if err != nil {
			return
		}
		g := group{name, config, map[string]volume{"ab": {size: 1 << 20}}}
		_, list, err := g.logicals(bytes.NewReader(nil))
		if err != nil {
			return
		}
		for _, v := range list {
			for _, p := range v.r.(pieces) {
				if p.start < 0 || p.size <= 0 || p.start+p.size > 1<<20 {
					t.Errorf("%s: %d bytes from %d", v, p.size, p.start)
				}
			}
		}
	})
}
