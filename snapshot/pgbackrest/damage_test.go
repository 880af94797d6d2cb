package pgbackrest_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

func isPassphrase(err error) bool { return errors.Is(err, snapshot.ErrPassphrase) }

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// change replaces a file's content for as long as the test runs do.
func change(t testing.TB, name string, how func(b []byte) []byte, do func()) {
	t.Helper()
	whole, err := os.ReadFile(name)
	must(t, err)
	must(t, os.WriteFile(name, how(slices.Clone(whole)), 0o600))
	do()
	must(t, os.WriteFile(name, whole, 0o600))
}

// Damage anywhere is an error that belongs to its class, or does no harm: no
// byte that is read differs from what was backed up.
func TestDamage_IsNeverReadSilently(t *testing.T) {
	dir := unpack(t)
	for _, repo := range []string{"zst", "lz4-cipher", "none"} {
		root := filepath.Join(dir, repo)
		list := labels(t, filepath.Join(root, "backup/main"))
		want := wanted(t, dir, repo, list[2])
		opts := snapshot.Options{Passphrase: passphrase("sesame"), Select: list[2], CacheDir: t.TempDir()}
		var files []string
		must(t, filepath.WalkDir(filepath.Join(root, "backup"), func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && !strings.HasSuffix(name, ".copy") {
				files = append(files, name)
			}
			return err
		}))
		noticed := 0
		check := func(what, name string) {
			t.Helper()
			s, err := open(t, root, opts)
			if err != nil {
				if !errors.Is(err, snapshot.ErrDamaged) && !isPassphrase(err) {
					t.Errorf("%s %s: %v", what, name, err)
				}
				noticed++
				return
			}
			sums, errs := readAll(t, s)
			for _, err := range errs {
				if !errors.Is(err, snapshot.ErrDamaged) {
					t.Errorf("%s %s: %v", what, name, err)
				}
			}
			for file, sum := range sums {
				if want[file] != sum {
					t.Errorf("%s %s: %s reads other bytes", what, name, file)
				}
			}
			if len(errs) > 0 || snapshottest.Outcomes(s)["repository"] == snapshot.Warn {
				noticed++
			}
			must(t, s.Close())
		}
		for _, name := range files {
			rel, _ := filepath.Rel(root, name)
			change(t, name, func(b []byte) []byte { return b[:len(b)*2/3] }, func() { check("cut short:", rel) })
			for _, at := range []int{1, 3} {
				change(t, name, func(b []byte) []byte { b[len(b)*at/4] ^= 0x10; return b }, func() { check("one bit flipped:", rel) })
			}
		}
		if noticed < len(files) {
			t.Errorf("%s: of %d files damaged three times, damage was noticed %d times", repo, len(files), noticed)
		}
	}
}

// An info file that is damaged or gone is replaced by its copy, which is said.
func TestDamage_CopiesAreTaken(t *testing.T) {
	root := filepath.Join(unpack(t), "zst")
	label := labels(t, filepath.Join(root, "backup/main"))[0]
	for _, name := range []string{"backup.info", label + "/backup.manifest"} {
		at := filepath.Join(root, "backup/main", name)
		change(t, at, func([]byte) []byte { return nil }, func() {
			s := mustOpen(t, root, snapshot.Options{Select: "main/" + label})
			if snapshottest.Outcomes(s)["repository"] != snapshot.Warn {
				t.Errorf("%s was replaced silently:\n%s", name, snapshottest.Report(s))
			}
			must(t, s.Close())
		})
		must(t, os.Remove(at))
		s := mustOpen(t, root, snapshot.Options{Select: "main/" + label})
		must(t, s.Close())
		must(t, os.Remove(at+".copy"))
	}
	if _, err := open(t, root, snapshot.Options{Select: "main/" + label}); !errors.Is(err, snapshot.ErrDamaged) {
		t.Errorf("without a manifest: %v", err)
	}
}

func TestDamage_ParentIsGone(t *testing.T) {
	root := filepath.Join(unpack(t), "zst")
	list := labels(t, filepath.Join(root, "backup/main"))
	must(t, os.RemoveAll(filepath.Join(root, "backup/main", list[0])))
	s, err := open(t, root, snapshot.Options{})
	if err == nil {
		err = errors.Join(s.Err(), s.Close())
	}
	if !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), list[0]) {
		t.Errorf("err = %v", err)
	}
}

// seal writes the checksum of an info file; see package inifile.
func seal(text string) []byte {
	var sum, body strings.Builder
	section, keys := "", 0
	for _, line := range strings.Split(text, "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, "backrest-checksum="):
			continue
		case line == "[backrest]" && section != "":
			continue
		case strings.HasPrefix(line, "["):
			if section != "" {
				sum.WriteString("},")
			}
			section, keys = strings.Trim(line, "[]"), 0
			fmt.Fprintf(&sum, "%q:{", section)
		default:
			i := strings.IndexByte(line, '=')
			for !json.Valid([]byte(line[i+1:])) {
				i += 1 + strings.IndexByte(line[i+1:], '=')
			}
			if keys++; keys > 1 {
				sum.WriteByte(',')
			}
			fmt.Fprintf(&sum, "%q:%s", line[:i], line[i+1:])
		}
		body.WriteString(line + "\n")
	}
	return fmt.Appendf([]byte(body.String()), "[backrest]\nbackrest-checksum=\"%x\"\n", sha1.Sum([]byte("{"+sum.String()+"}}")))
}

func TestHostileManifest(t *testing.T) {
	root := filepath.Join(unpack(t), "zst")
	label := labels(t, filepath.Join(root, "backup/main"))[2]
	name := filepath.Join(root, "backup/main", label, "backup.manifest")
	whole, err := os.ReadFile(name)
	must(t, err)
	must(t, os.Remove(name+".copy"))
	add := func(line string) func(string) string {
		return func(s string) string { return strings.Replace(s, "[target:file]\n", "[target:file]\n"+line+"\n", 1) }
	}
	swap := func(old, with string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("the manifest has no %s", old)
			}
			return strings.Replace(s, old, with, 1)
		}
	}
	for what, c := range map[string]struct {
		change func(string) string
		class  error // nil: it opens
	}{
		"nothing":             {func(s string) string { return s }, nil},
		"upwards":             {add(`pg_data/../../x={"size":0,"timestamp":1}`), snapshot.ErrUnsafe},
		"absolute":            {add(`/etc/passwd={"size":0,"timestamp":1}`), snapshot.ErrUnsafe},
		"elsewhere":           {add(`x/y={"size":0,"timestamp":1}`), snapshot.ErrUnsafe},
		"no tablespace":       {add(`pg_tblspc/x/y={"size":0,"timestamp":1}`), snapshot.ErrUnsafe},
		"data itself":         {add(`pg_data={"size":0,"timestamp":1}`), snapshot.ErrUnsafe},
		"a long name":         {add(`pg_data/` + strings.Repeat("x", 5000) + `={"size":0,"timestamp":1}`), snapshot.ErrUnsafe},
		"deep":                {add(`pg_data/` + strings.Repeat("x/", 500) + `x={"size":0,"timestamp":1}`), snapshot.ErrUnsafe},
		"a file and a folder": {add(`pg_data/base={"size":0,"timestamp":1}`), snapshot.ErrDamaged},
		"negative size":       {add(`pg_data/x={"size":-1,"timestamp":1}`), snapshot.ErrDamaged},
		"absurd size":         {add(`pg_data/x={"size":9000000000000000000,"timestamp":1}`), snapshot.ErrDamaged},
		"absurd offset":       {add(`pg_data/x={"bni":1,"bno":9000000000000000000,"size":1,"timestamp":1}`), snapshot.ErrDamaged},
		"absurd map":          {add(`pg_data/x={"bi":1,"bim":100,"repo-size":10,"size":1,"timestamp":1}`), snapshot.ErrDamaged},
		"absurd blocks":       {add(`pg_data/x={"bi":1000000000000,"bim":1,"size":10,"timestamp":1}`), snapshot.ErrDamaged},
		"no size":             {add(`pg_data/x={"timestamp":1}`), snapshot.ErrDamaged},
		"no object":           {add(`pg_data/x=[1]`), snapshot.ErrDamaged},
		"reference upwards":   {add(`pg_data/x={"reference":"../../x","size":1,"timestamp":1}`), snapshot.ErrDamaged},
		"a bad checksum":      {add(`pg_data/x={"checksum":"zz","size":1,"timestamp":1}`), snapshot.ErrDamaged},
		"an equals sign":      {add(`pg_data/x={"a"=1={"size":0,"timestamp":1}`), nil},
		"another codec":       {swap(`option-compress-type="zst"`, `option-compress-type="rar"`), snapshot.ErrUnsupported},
		"another format":      {swap(`backrest-format=5`, `backrest-format=6`), snapshot.ErrUnsupported},
		"another backup's":    {swap(`backup-label="`+label, `backup-label="20010101-010101F`), snapshot.ErrDamaged},
		"a tablespace of 0":   {swap(`"tablespace-id":"16400"`, `"tablespace-id":"0"`), snapshot.ErrDamaged},
	} {
		must(t, os.WriteFile(name, seal(c.change(string(whole))), 0o600))
		s, err := open(t, root, snapshot.Options{Select: label})
		switch {
		case err == nil && c.class != nil:
			t.Errorf("%s: it opens", what)
		case err != nil && c.class == nil:
			t.Errorf("%s: %v", what, err)
		case err != nil && !errors.Is(err, c.class):
			t.Errorf("%s: %v; want class %v", what, err, c.class)
		}
		if s != nil {
			must(t, s.Close())
		}
	}
	for what, text := range map[string]string{
		"empty": "", "zeros": strings.Repeat("\x00", 1<<20), "one line": "[backrest]\nx=" + strings.Repeat("[", 8<<20),
		"equals signs": "[backrest]\n" + strings.Repeat("=\"", 1<<20), "sections": strings.Repeat("[a]\n[b]\n", 1<<10),
	} {
		must(t, os.WriteFile(name, []byte(text), 0o600))
		if _, err := open(t, root, snapshot.Options{Select: label}); !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !bytes.Contains(whole, []byte(`"bim"`)) {
		t.Error("the fixture has no block incremental file")
	}
}
