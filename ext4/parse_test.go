package ext4_test

import (
	"encoding/binary"
	"testing"

	"github.com/snapview/snapview/ext4"
)

type geo struct{ blockBitmap, inodeBitmap, inodeTable, meta int64 } // byte offsets

func readGeometry(t testing.TB, m *ext4.Image) geo {
	t.Helper()
	p := make([]byte, 8192)
	if _, err := m.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	ipg := int64(le.Uint32(p[1024+0x28:]))
	g := geo{
		blockBitmap: int64(le.Uint32(p[4096:])) * 4096,
		inodeBitmap: int64(le.Uint32(p[4096+4:])) * 4096,
		inodeTable:  int64(le.Uint32(p[4096+8:])) * 4096,
	}
	g.meta = g.inodeTable + m.Layout().Groups*ipg*256
	return g
}
