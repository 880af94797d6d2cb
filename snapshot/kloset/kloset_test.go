package kloset_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

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
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPtar_Conforms(t *testing.T) {
	ref := snapshottest.Fixture(t, "kloset/kloset-plain.ptar")
	before, err := os.ReadFile(ref)
	must(t, err)
	snapshottest.Suite{MaxOpen: 1 << 20, Open: func(t testing.TB) *snapshot.Snapshot {
		return open(t, ref, snapshot.Options{})
	}}.Run(t)
	after, err := os.ReadFile(ref)
	must(t, err)
	if string(before) != string(after) {
		t.Error("the file was changed")
	}
	s := open(t, ref, snapshot.Options{})
	defer s.Close()
	t.Logf("%+v\n%s", s.Identity, snapshottest.Report(s))
}

func TestStore_Conforms(t *testing.T) {
	dir := encrypted(t)
	snapshottest.Untouched(t, dir)
	snapshottest.Suite{MaxOpen: 1 << 20, Open: func(t testing.TB) *snapshot.Snapshot {
		return open(t, dir, snapshot.Options{Passphrase: secret})
	}}.Run(t)
}
