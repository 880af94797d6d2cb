package vfs

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
)

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := msgpack.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type obj = map[string]any

func named(n byte) format.MAC { return format.MAC{n} }

// blobs is a store in memory.
type blobs map[format.MAC][]byte

func (m blobs) Each(_ context.Context, _ format.Type, names []format.MAC, each func(i int, b []byte) error) error {
	for i, name := range names {
		b, ok := m[name]
		if !ok {
			return snapshot.Errorf(snapshot.ErrDamaged, "no blob %s", name.Short())
		}
		if err := each(i, b); err != nil {
			return err
		}
	}
	return nil
}

func leaf(t testing.TB, name string, entry format.MAC) []byte {
	return encode(t, obj{"keys": []string{name}, "values": []format.MAC{entry}})
}

func TestEntries(t *testing.T) {
	at := time.Unix(1_795_000_000, 7)
	m := blobs{
		named(1):  encode(t, obj{"Version": 1, "Order": 50, "Count": 2, "Root": named(2)}),
		named(2):  encode(t, obj{"keys": []string{"/b"}, "pointers": []format.MAC{named(3), named(4)}}),
		named(3):  leaf(t, "/a", named(10)),
		named(4):  leaf(t, "/b", named(11)),
		named(10): encode(t, obj{"file_info": obj{"name": "a", "size": 5, "mode": uint32(0o640), "mod_time": at}, "object": named(20)}),
		named(11): encode(t, obj{"file_info": obj{"name": "b", "mode": uint32(fs.ModeSymlink)}, "symlink_target": "a", "tags": []string{"x"}}),
	}
	list, err := Entries(t.Context(), m, named(1))
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	if a := list[0]; a.Path != "/a" || a.Size != 5 || a.Mode != 0o640 || !a.ModTime.Equal(at) || a.Object != named(20) {
		t.Errorf("%+v", a)
	}
	if b := list[1]; b.Path != "/b" || b.Link != "a" || b.Mode != fs.ModeSymlink {
		t.Errorf("%+v", b)
	}
	if b, err := Lookup(t.Context(), m, named(1), "/b"); err != nil || b.Link != "a" || b.Path != "/b" {
		t.Errorf("%+v, %v", b, err)
	}
	for _, path := range []string{"/", "/c", "/a/b", "/0"} {
		if _, err := Lookup(t.Context(), m, named(1), path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for what, c := range map[string]struct {
		name  format.MAC
		blob  []byte
		class error
	}{
		"circle":        {named(3), encode(t, obj{"keys": []string{}, "pointers": []format.MAC{named(4)}}), snapshot.ErrDamaged},
		"missing node":  {named(2), encode(t, obj{"keys": []string{}, "pointers": []format.MAC{named(99)}}), snapshot.ErrDamaged},
		"counts":        {named(2), encode(t, obj{"keys": []string{"/a"}, "values": []format.MAC{}}), snapshot.ErrDamaged},
		"no map":        {named(2), encode(t, 5), snapshot.ErrDamaged},
		"path":          {named(3), leaf(t, "/x/../a", named(10)), snapshot.ErrUnsafe},
		"negative size": {named(10), encode(t, obj{"file_info": obj{"size": -1}}), snapshot.ErrDamaged},
		"garbage":       {named(10), []byte{0xc1}, snapshot.ErrDamaged},
		"no tree":       {named(1), []byte{}, snapshot.ErrDamaged},
	} {
		old := m[c.name]
		m[c.name] = c.blob
		if _, err := Entries(t.Context(), m, named(1)); !errors.Is(err, c.class) {
			t.Errorf("%s: %v", what, err)
		}
		m[c.name] = old
	}
	deep := blobs{named(1): m[named(1)]}
	for i := range 40 {
		deep[named(byte(2+i))] = encode(t, obj{"keys": []string{}, "pointers": []format.MAC{named(byte(3 + i))}})
	}
	if _, err := Lookup(t.Context(), deep, named(1), "/x"); !errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("a deep tree: %v", err)
	}
	if _, err := Entries(t.Context(), deep, named(1)); !errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("a deep tree: %v", err)
	}
}

func TestParseObject(t *testing.T) {
	chunk := func(n byte, size uint32) obj { return obj{"contentMAC": named(n), "length": size, "entropy": 2.5} }
	b := encode(t, obj{"version": 1, "chunks": []obj{chunk(1, 100), chunk(2, 0), chunk(3, 50)}, "flags": 0})
	list, err := ParseObject(b, 150)
	if err != nil || len(list) != 2 || list[1] != (Chunk{named(3), 50}) {
		t.Errorf("%+v, %v", list, err)
	}
	for what, err := range map[string]error{
		"size":   second(ParseObject(b, 151)),
		"chunk":  second(ParseObject(encode(t, obj{"chunks": []obj{chunk(1, format.MaxChunk+1)}}), format.MaxChunk+1)),
		"cut":    second(ParseObject(b[:len(b)-3], 150)),
		"no map": second(ParseObject([]byte{1}, 150)),
	} {
		if !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Every parser takes any bytes: an error of the class or a value that holds.
func FuzzParse(f *testing.F) {
	f.Add(encode(f, obj{"keys": []string{"/b"}, "pointers": []format.MAC{named(3), named(4)}, "values": nil}))
	f.Add(encode(f, obj{"file_info": obj{"size": 5, "mode": 420, "mod_time": time.Unix(5, 5)}, "object": named(20), "symlink_target": "a"}))
	f.Add(encode(f, obj{"chunks": []obj{{"contentMAC": named(1), "length": 100}}}))
	f.Add(encode(f, obj{"identifier": named(1), "timestamp": time.Unix(5, 5), "sources": []obj{{"root": obj{"root": named(1)}, "summary": obj{"below": obj{"size": 5}}}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(what string, err error) {
			if err != nil && !errors.Is(err, snapshot.ErrDamaged) {
				t.Errorf("%s: %v", what, err)
			}
		}
		h, err := ParseHeader(b)
		check("header", err)
		if err == nil && len(h.Sources) == 0 {
			t.Error("a header without sources")
		}
		e, err := ParseEntry(b)
		check("entry", err)
		if err == nil && e.Size < 0 {
			t.Errorf("%+v", e)
		}
		n, err := parseNode(b)
		check("node", err)
		if err == nil && len(n.pointers) == 0 && len(n.keys) != len(n.values) {
			t.Errorf("%+v", n)
		}
		_, err = rootOf(b)
		check("tree", err)
		list, err := ParseObject(b, 100)
		check("object", err)
		sum := int64(0)
		for _, c := range list {
			sum += c.Length
		}
		if err == nil && sum != 100 {
			t.Errorf("%d bytes", sum)
		}
	})
}
