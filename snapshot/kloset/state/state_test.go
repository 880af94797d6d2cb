package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
)

func mac(n byte) format.MAC { return format.MAC{n} }

// content builds a state.
type content struct{ bytes.Buffer }

func begin() *content {
	c := &content{}
	c.Write(make([]byte, 32))
	return c
}

func (c *content) entry(kind byte, body ...[]byte) *content {
	all := bytes.Join(body, nil)
	c.WriteByte(kind)
	c.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(all))))
	c.Write(all)
	return c
}

func (c *content) location(t format.Type, m, pack format.MAC, off uint64) *content {
	where := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, off), 10)
	return c.entry(kindLocation, []byte{byte(t), 0, 0, 1, 0}, m[:], pack[:], where, make([]byte, 4))
}

func (c *content) packfile(pack format.MAC) *content {
	return c.entry(kindPackfile, pack[:], make([]byte, 40))
}

func (c *content) end() *bytes.Reader {
	return bytes.NewReader(append(append(slices.Clone(c.Bytes()), kindEnd), make([]byte, 28)...))
}

const v11, v10 = format.Version(0x10100), format.Version(0x10000)

func TestIndex(t *testing.T) {
	x := NewIndex()
	apply := func(c *content) {
		t.Helper()
		if err := x.Apply(c.end(), v11); err != nil {
			t.Fatal(err)
		}
	}
	find := func(m byte, want ...byte) {
		t.Helper()
		var got []byte
		for _, l := range x.Find(format.TypeChunk, mac(m)) {
			got = append(got, l.Packfile[0])
		}
		if !slices.Equal(got, want) {
			t.Errorf("blob %d is in %v, want %v", m, got, want)
		}
	}
	apply(begin().location(format.TypeChunk, mac(1), mac(100), 5).location(format.TypeChunk, mac(2), mac(101), 5).
		location(format.TypeSnapshot, mac(50), mac(100), 0).packfile(mac(100)))
	find(1, 100)
	find(2) // its packfile is not published
	find(3)
	apply(begin().location(format.TypeChunk, mac(1), mac(101), 7).packfile(mac(101)))
	find(1, 100, 101)
	find(2, 101)
	if got := x.Snapshots(); len(got) != 1 || got[0] != mac(50) {
		t.Errorf("snapshots %v", got)
	}
	// a packfile that is going away
	pack, snap, one := mac(100), mac(50), mac(1)
	apply(begin().entry(kindColoured, []byte{byte(format.TypePackfile)}, pack[:], make([]byte, 8)))
	find(1, 101)
	if got := x.Snapshots(); len(got) != 0 {
		t.Errorf("snapshots %v", got)
	}
	apply(begin().entry(kindDelete, []byte{kindColoured, byte(format.TypePackfile)}, pack[:], make([]byte, 32)))
	find(1, 100, 101)
	apply(begin().entry(kindDelete, []byte{kindLocation, byte(format.TypeChunk)}, one[:], pack[:]))
	find(1, 101)
	apply(begin().entry(kindColoured, []byte{byte(format.TypeSnapshot)}, snap[:], make([]byte, 8)))
	if got := x.Snapshots(); len(got) != 0 {
		t.Errorf("a deleted snapshot is listed: %v", got)
	}
	other := mac(101)
	apply(begin().entry(kindDelete, []byte{kindPackfile, 0}, one[:], other[:]))
	find(1)
	apply(begin().location(format.TypeChunk, mac(1), mac(100), 9).location(format.TypeChunk, mac(1), mac(100), 11))
	if got := x.Find(format.TypeChunk, mac(1)); len(got) != 1 || got[0].Offset != 11 {
		t.Errorf("%+v", got)
	}
}

func TestApply_Damaged(t *testing.T) {
	whole := begin().location(format.TypeChunk, mac(1), mac(100), 5).packfile(mac(100)).entry(77, []byte("of a later version")).end()
	raw := make([]byte, whole.Len())
	if _, err := whole.Read(raw); err != nil {
		t.Fatal(err)
	}
	if err := NewIndex().Apply(bytes.NewReader(raw), v11); err != nil {
		t.Fatal(err)
	}
	if err := NewIndex().Apply(bytes.NewReader(raw[32:]), v10); err != nil {
		t.Errorf("format 1.0 has no parent: %v", err)
	}
	for n := range raw {
		if err := NewIndex().Apply(bytes.NewReader(raw[:n]), v11); !errors.Is(err, snapshot.ErrDamaged) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	for what, c := range map[string]*content{
		"size":   begin().entry(kindLocation, make([]byte, 84)),
		"offset": begin().location(format.TypeChunk, mac(1), mac(2), 1<<63),
		"delete": begin().entry(kindDelete, append([]byte{9}, make([]byte, 65)...)),
		"long":   begin().entry(99, make([]byte, maxUnknown+1)),
	} {
		if err := NewIndex().Apply(c.end(), v11); !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestOrder(t *testing.T) {
	// 3 <- 1 <- 2, 5 alone with a parent that is gone, 6 and 7 in a circle
	got := Order(map[format.MAC]format.MAC{mac(1): mac(3), mac(2): mac(1), mac(3): {}, mac(5): mac(9), mac(6): mac(7), mac(7): mac(6)})
	var names []string
	for _, m := range got {
		names = append(names, string('0'+rune(m[0])))
	}
	if s := strings.Join(names, ""); s != "312576" && s != "312567" {
		t.Errorf("order %s", s)
	}
}

func FuzzApply(f *testing.F) {
	f.Add(begin().location(format.TypeChunk, mac(1), mac(100), 5).packfile(mac(100)).Bytes(), true)
	f.Fuzz(func(t *testing.T, b []byte, old bool) {
		v := v11
		if old {
			v = v10
		}
		x := NewIndex()
		if err := x.Apply(bytes.NewReader(b), v); err != nil && !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("%v", err)
		}
		for key := range x.blobs {
			x.Find(format.Type(key.kind), key.mac)
		}
		x.Snapshots()
	})
}
