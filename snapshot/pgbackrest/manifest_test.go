package pgbackrest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"

	"github.com/snapview/snapview/snapshot"
)

const fuzzLabel = "20261121-120000F_20261121-130000I"

// FuzzManifest reads lines as those of a manifest, builds the tree, and reads a
// little of every file.
func FuzzManifest(f *testing.F) {
	f.Add([]byte("backup backup-reference \"20261121-120000F,"+fuzzLabel+"\"\n"+
		"backup:option option-compress-type \"none\"\n"+
		"backup:target pg_tblspc/16384 {\"path\":\"/ts\",\"tablespace-id\":\"16384\",\"tablespace-name\":\"t\",\"type\":\"link\"}\n"+
		"target:file pg_data/a {\"size\":10,\"timestamp\":1,\"bni\":1,\"bno\":3,\"repo-size\":10}\n"+
		"target:file pg_data/b {\"bi\":1,\"bim\":20,\"bni\":1,\"repo-size\":40,\"size\":8192,\"reference\":\"20261121-120000F\",\"timestamp\":1}\n"+
		"target:file pg_tblspc/16384/c {\"checksum\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\",\"size\":5,\"timestamp\":1,\"mode\":\"0640\"}\n"+
		"target:path pg_data {}\ntarget:path:default mode \"0750\"\n"), []byte("some stored bytes, some more of them, and more"))
	f.Fuzz(func(t *testing.T, lines, stored []byte) {
		store := &fakeStore{objects: map[string][]byte{"backup/s/20261121-120000F/bundle/1": stored, "backup/s/" + fuzzLabel + "/bundle/1": stored}}
		m := &manifest{
			label: fuzzLabel, codec: "gz", fileMode: 0o600, dirMode: 0o700,
			targets: map[string]target{}, labels: []string{fuzzLabel}, numbers: map[string]uint32{fuzzLabel: 0},
		}
		for line := range bytes.Lines(lines) {
			section, rest, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
			key, value, _ := bytes.Cut(rest, []byte(" "))
			if err := m.visit(string(section), string(key), value); err != nil {
				if !errors.Is(err, snapshot.ErrDamaged) {
					t.Errorf("%q: %v", line, err)
				}
				return
			}
		}
		o := &opener{ctx: t.Context(), stanza: stanzaAt("s"), m: m, repo: &repository{store: store}}
		o.draft.Builder, o.draft.Tablespaces = snapshot.NewBuilder(), map[uint32]string{}
		o.vault = newVault(t.Context(), store, snapshot.Options{CacheDir: t.TempDir()})
		defer o.vault.Close()
		if err := o.build(); err != nil {
			return
		}
		tree := o.draft.Builder.Tree()
		err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			f, err := tree.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.Read(make([]byte, 100)); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, snapshot.ErrDamaged) {
				t.Errorf("%s: %v", name, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
