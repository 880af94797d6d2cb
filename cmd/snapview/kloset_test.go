package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// What the README of the fixtures says that its Klosets answer.
const (
	klosetItems, klosetItemsAnswer = "select count(*), sum(amount) from fixture_items", "500,156562.50"
	klosetBig, klosetBigAnswer     = "select count(*), md5(string_agg(h, ',' order by id)) from fixture_big", "3000,afae9c0cdda1ba7750c2701d1536639f"
	klosetPassphrase               = "snapview fixture passphrase"
)

// encryptedKloset unpacks the fixture of an encrypted store.
func encryptedKloset(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	snapshottest.Run(t, dir, snapshottest.Tool(t, "tar"), "-xf", snapshottest.Fixture(t, "kloset/kloset-encrypted.tar"))
	return filepath.Join(dir, "kloset-encrypted")
}

func TestQueryAnswersFromAKloset(t *testing.T) {
	needsPostgres(t, "15")
	ref := snapshottest.Fixture(t, "kloset/kloset-plain.ptar")
	snapshottest.Untouched(t, filepath.Dir(ref))
	for sql, want := range map[string]string{klosetItems: klosetItemsAnswer, klosetBig: klosetBigAnswer} {
		out := must(t, stateDir(t), "query", ref+"#6e06", "--runner", "local", "--db", "postgres", "--format", "csv", sql)
		if got := lastLine(out); got != want {
			t.Errorf("%s: %q, want %q", sql, got, want)
		}
	}
}

func TestQueryAnswersFromAnEncryptedKloset(t *testing.T) {
	needsPostgres(t, "15")
	ref := encryptedKloset(t)
	snapshottest.Untouched(t, ref)
	file := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(file, []byte(klosetPassphrase+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SNAPVIEW_PASSPHRASE", "the flag comes before the environment")
	out := must(t, stateDir(t), "query", ref, "--passphrase-file", file, "--runner", "local", "--db", "postgres", "--format", "csv", klosetBig)
	if got := lastLine(out); got != klosetBigAnswer {
		t.Errorf("%q, want %q", got, klosetBigAnswer)
	}
}

// A passphrase that is missing or wrong has an exit code of its own, and is
// never waited for where nobody sits at a terminal.
func TestPassphrase(t *testing.T) {
	ref, state := encryptedKloset(t), t.TempDir()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, variable, value string
		args                  []string
		code                  int
		says                  string
	}{
		{name: "none", code: exitPassphrase, says: "--passphrase-file"},
		{name: "none, in JSON", args: []string{"--json"}, code: exitPassphrase},
		{name: "wrong", variable: "SNAPVIEW_PASSPHRASE", value: "x", code: exitPassphrase, says: "wrong"},
		{name: "Plakar's variable", variable: "PLAKAR_PASSPHRASE", value: klosetPassphrase},
		{name: "no such file", args: []string{"--passphrase-file", "/nonexistent"}, code: exitPassphrase, says: "/nonexistent"},
		{name: "an empty file", args: []string{"--passphrase-file", empty}, code: exitPassphrase, says: "empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.variable != "" {
				t.Setenv(c.variable, c.value)
			}
			_, errs, code := snapview(t, state, append([]string{"inspect", ref}, c.args...)...)
			if code != c.code || !strings.Contains(errs, c.says) {
				t.Errorf("exit code %d, want %d; %q is to be in:\n%s", code, c.code, c.says, errs)
			}
		})
	}
}
