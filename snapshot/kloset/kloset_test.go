package kloset_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// passphrase of the fixture, and of the stores that tests write.
const passphrase = "snapview fixture passphrase"

func secret(string) ([]byte, error) { return []byte(passphrase), nil }

// encrypted unpacks the fixture of an encrypted store.
func encrypted(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	snapshottest.Run(t, dir, snapshottest.Tool(t, "tar"), "-xf", snapshottest.Fixture(t, "kloset/kloset-encrypted.tar"))
	return filepath.Join(dir, "kloset-encrypted")
}

func open(t testing.TB, ref string, opts snapshot.Options) *snapshot.Snapshot {
	t.Helper()
	s, err := kloset.Open(context.Background(), ref, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Err(); err != nil {
		t.Fatalf("refused: %v\n%s", err, snapshottest.Report(s))
	}
	if s.Kind != snapshot.KindKloset {
		t.Errorf("kind %q", s.Kind)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// asManifest compares each file with the CRC-32C that PostgreSQL's manifest
// has of it: what plakar stored is what pg_basebackup sent.
func asManifest(t *testing.T, s *snapshot.Snapshot) {
	t.Helper()
	text, err := fs.ReadFile(s.Tree, "data/backup_manifest")
	must(t, err)
	var manifest struct {
		Files []struct{ Path, Checksum string }
	}
	must(t, json.Unmarshal(text, &manifest))
	if len(manifest.Files) < 250 {
		t.Fatalf("a manifest of %d files", len(manifest.Files))
	}
	for _, f := range manifest.Files {
		b, err := fs.ReadFile(s.Tree, "data/"+f.Path)
		must(t, err)
		sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
		// PostgreSQL prints the bytes in the order of memory.
		if got := fmt.Sprintf("%02x%02x%02x%02x", byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)); got != f.Checksum {
			t.Errorf("%s: CRC-32C %s, want %s", f.Path, got, f.Checksum)
		}
	}
}

// The single-file Kloset that plakar wrote.
func TestPtar_Conforms(t *testing.T) {
	ref := snapshottest.Fixture(t, "kloset/kloset-plain.ptar")
	snapshottest.Untouched(t, filepath.Dir(ref))
	snapshottest.Suite{MaxOpen: 1 << 20, Open: func(t testing.TB) *snapshot.Snapshot {
		return open(t, ref, snapshot.Options{})
	}}.Run(t)
	s := open(t, ref, snapshot.Options{})
	defer s.Close()
	asManifest(t, s)
	if id := s.Identity; id.PGVersion != 15 || id.SystemID != 7710503500631356177 || id.StartLSN != 0x1B00028 || id.EndLSN != 0x1B00100 {
		t.Errorf("identity: %+v", id)
	}
	if c := s.Checks[0]; c.Name != "snapshot" || c.Detail != "6e06899a of 2026-11-21 06:21:17 UTC (tarstream)" {
		t.Errorf("the first check is %+v", c)
	}
}

// The encrypted store of many files that plakar wrote. Each open derives the
// key anew, which takes a second, so that the suite runs on one.
func TestStore_Encrypted(t *testing.T) {
	dir := encrypted(t)
	snapshottest.Untouched(t, dir)
	s := open(t, dir, snapshot.Options{Passphrase: secret, Select: "7d475479"})
	defer s.Close()
	if n := s.BytesRead(); n > 1<<20 {
		t.Errorf("opening read %d bytes", n)
	}
	asManifest(t, s)
}

func TestList(t *testing.T) {
	p, err := kloset.Local(snapshottest.Fixture(t, "kloset/kloset-plain.ptar"), snapshot.Options{})
	must(t, err)
	defer p.Store.Close()
	list, err := kloset.ListPlace(t.Context(), "x.ptar", p, snapshot.Options{})
	must(t, err)
	if len(list) != 1 || list[0].Ref != "x.ptar#6e06899a" || list[0].Bytes != 6729923 || list[0].Problem != "" ||
		list[0].Time.Format("15:04:05") != "06:21:17" || list[0].PGVersion != 15 || list[0].SystemID != 7710503500631356177 || list[0].Kind != snapshot.KindKloset {
		t.Errorf("%+v", list)
	}
}
