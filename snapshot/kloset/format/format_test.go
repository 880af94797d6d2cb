package format_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"github.com/zeebo/blake3"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

func fixture(t testing.TB) ([]byte, format.Parts) {
	t.Helper()
	b, err := os.ReadFile(snapshottest.Fixture(t, "kloset/kloset-plain.ptar"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := format.ParsePtar(b[:12], b[len(b)-format.TrailerSize:], int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return b, p
}

func TestUnwrap(t *testing.T) {
	b, p := fixture(t)
	config := b[p.Config.Off:][:p.Config.Len]
	payload, v, err := format.Unwrap(config, format.TypeConfig, blake3.New())
	if err != nil || v.String() != "1.0.0" || len(payload) != len(config)-48 {
		t.Fatalf("%d bytes, version %s, %v", len(payload), v, err)
	}
	c, err := format.ParseConfig(payload)
	if err != nil || c.Compression != "LZ4" || c.Hashing != format.BLAKE3 || c.Encryption != nil || c.ChunkMax != 8<<20 || c.Created.Year() != 2026 {
		t.Errorf("%+v, %v", c, err)
	}
	for i := range config {
		changed := bytes.Clone(config)
		changed[i] ^= 0x10
		if _, _, err := format.Unwrap(changed, format.TypeConfig, blake3.New()); !errors.Is(err, snapshot.ErrDamaged) && !errors.Is(err, snapshot.ErrUnsupported) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, _, err := format.Unwrap(config[:i], format.TypeConfig, blake3.New()); !errors.Is(err, snapshot.ErrDamaged) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, _, err := format.Unwrap(config, format.TypeState, blake3.New()); !errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("a configuration taken for a state: %v", err)
	}
	later := bytes.Clone(config)
	later[14] = 2
	if _, _, err := format.Unwrap(later, format.TypeConfig, blake3.New()); !errors.Is(err, snapshot.ErrUnsupported) {
		t.Errorf("version 2: %v", err)
	}
}

func TestParsePtar_Damaged(t *testing.T) {
	b, _ := fixture(t)
	head, trailer := b[:12], b[len(b)-format.TrailerSize:]
	for i := range 6 {
		for _, v := range []uint64{1 << 63, 1<<63 - 1, 0, uint64(len(b)) + 1} {
			changed := bytes.Clone(trailer)
			binary.LittleEndian.PutUint64(changed[8*i:], v)
			if _, err := format.ParsePtar(head, changed, int64(len(b))); !errors.Is(err, snapshot.ErrDamaged) {
				t.Errorf("number %d is %d: %v", i, v, err)
			}
		}
	}
	if _, err := format.ParsePtar([]byte("something else"), trailer, int64(len(b))); !errors.Is(err, snapshot.ErrNotABackup) {
		t.Error(err)
	}
}

func TestVersion(t *testing.T) {
	if v := format.Version(0x10203); v.String() != "1.2.3" || v.Major() != 1 || !v.AtLeast(1, 2) || v.AtLeast(1, 3) || v.AtLeast(2, 0) {
		t.Error(v)
	}
}

func FuzzParseConfig(f *testing.F) {
	b, p := fixture(f)
	f.Add(b[p.Config.Off+16:][:p.Config.Len-48])
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := format.ParseConfig(b); err == nil && (c.ChunkMax <= 0 || c.ChunkMax > format.MaxChunk) {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzPtar(f *testing.F) {
	b, _ := fixture(f)
	f.Add(b[:12], b[len(b)-format.TrailerSize:], int64(len(b)))
	f.Fuzz(func(t *testing.T, head, trailer []byte, size int64) {
		p, err := format.ParsePtar(head, trailer, size)
		for _, part := range []format.Part{p.Config, p.Packfile, p.State} {
			if err == nil && (part.Off < 12 || part.Len < 48 || part.Off+part.Len > size-format.TrailerSize) {
				t.Errorf("%+v in a file of %d bytes", part, size)
			}
		}
		if _, _, err := format.Unwrap(trailer, format.TypeState, blake3.New()); err == nil && len(trailer) < 48 {
			t.Error("an envelope without a MAC")
		}
	})
}
