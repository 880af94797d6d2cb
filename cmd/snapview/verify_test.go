package main

import (
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	reports "github.com/snapview/snapview/check"
	pagecheck "github.com/snapview/snapview/check/pages"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// A junitFile is what a CI server counts.
type junitFile struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
}

func readJUnit(t *testing.T, name string) (j junitFile) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = xml.Unmarshal(text, &j)
	}
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return j
}

func TestVerifyPassesAGoodBackup(t *testing.T) {
	needsPostgres(t, "15")
	ref := plainBackup(t)
	snapshottest.Untouched(t, filepath.Dir(ref))
	dir := t.TempDir()
	script, junit := filepath.Join(dir, "s.sql"), filepath.Join(dir, "j.xml")
	if err := os.WriteFile(script, []byte("create temp table x as select 1;\nselect * from x;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := must(t, stateDir(t), "verify", ref, "--runner", "local", "--files", "--heapallindexed", "--junit", junit,
		"--sql", script, "--query", "select count(*) = 100 from ev", "--query", "select 1")
	for _, want := range []string{"400 files", "1202 pages", "117 tables, 169 indexes", "collations", "extensions", "0 failed"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if j := readJUnit(t, junit); j.Tests < 15 || j.Failures+j.Errors != 0 {
		t.Errorf("JUnit: %+v", j)
	}
}

// rewritePage changes a page of a file and gives it the checksum that fits.
func rewritePage(t *testing.T, name string, block uint32, change func(page []byte)) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	page := b[8192*block:][:8192]
	change(page)
	binary.LittleEndian.PutUint16(page[8:], pagecheck.Checksum(page, block))
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// breakRow makes the first row of a table's page end behind the page.
func breakRow(page []byte) {
	le := binary.LittleEndian
	le.PutUint32(page[24:], le.Uint32(page[24:])&0x1ffff|8191<<17)
}

// breakOrder exchanges two entries of a B-tree's leaf.
func breakOrder(page []byte) {
	le := binary.LittleEndian
	fifth, sixth := le.Uint32(page[24+16:]), le.Uint32(page[24+20:])
	le.PutUint32(page[24+16:], sixth)
	le.PutUint32(page[24+20:], fifth)
}

// damage breaks a copy of the plain backup: a byte of one page, and a row of
// another so that its page still has the right checksum.
func damage(t *testing.T) (ref string) {
	t.Helper()
	dir := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	flipByte(t, filepath.Join(dir, "fp/base/5/16385"), 12345)
	rewritePage(t, filepath.Join(dir, "fp/base/5/16393"), 0, breakRow)
	return filepath.Join(dir, "fp")
}

func TestVerifyNamesWhatIsDamaged(t *testing.T) {
	needsPostgres(t, "15")
	ref, junit := damage(t), filepath.Join(t.TempDir(), "j.xml")
	out, errs, code := snapview(t, stateDir(t), "--json", "--quiet", "verify", ref, "--runner", "local", "--junit", junit,
		"--query", "select false", "--query", "select 1 where false", "--query", "select nonsense")
	if code != exitCheck || !strings.Contains(out, "base/5/16385") {
		t.Fatalf("exit code %d, want %d: %s\n%s", code, exitCheck, out, errs)
	}
	first, _, _ := strings.Cut(out, "\n")
	var r reports.Report
	if err := json.Unmarshal([]byte(first), &r); err != nil {
		t.Fatalf("%v in %s", err, first)
	}
	found := map[string]reports.Case{}
	for _, c := range r.Bad() {
		found[c.Suite+" "+c.Name] = c
	}
	if r.OK || len(found) != 5 {
		t.Errorf("%d checks failed, want pages, amcheck and three queries: %+v", len(found), found)
	}
	p := found["pages database postgres"].Problems
	if len(p) != 1 || p[0].Database != "postgres" || p[0].Relation != "public.acct" || p[0].File != "base/5/16385" || p[0].Block == nil || *p[0].Block != 1 {
		t.Errorf("pages: %+v", p)
	}
	amcheck := map[string]bool{}
	for _, p := range found["amcheck database postgres"].Problems {
		amcheck[p.Relation] = true
	}
	if len(amcheck) != 2 || !amcheck["public.acct"] || !amcheck["public.ev"] {
		t.Errorf("amcheck: %+v", found["amcheck database postgres"])
	}
	for name, why := range map[string]string{"select false": "not true", "select 1 where false": "no row", "select nonsense": `column "nonsense"`} {
		if c := found["sql "+name]; !strings.Contains(c.Detail, why) {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if j := readJUnit(t, junit); j.Failures != 5 || j.Errors != 0 {
		t.Errorf("JUnit: %+v", j)
	}
}

func TestVerifyReportsWhatDoesNotOpen(t *testing.T) {
	needsPostgres(t, "15")
	dir, junit := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst"), filepath.Join(t.TempDir(), "j.xml")
	if err := os.Remove(filepath.Join(dir, "fp/pg_wal/000000010000000000000014")); err != nil {
		t.Fatal(err)
	}
	out, _, code := snapview(t, stateDir(t), "verify", filepath.Join(dir, "fp"), "--runner", "local", "--junit", junit)
	if code != exitUnsafe || !strings.Contains(out, "000000010000000000000014") {
		t.Errorf("exit code %d, want %d:\n%s", code, exitUnsafe, out)
	}
	if j := readJUnit(t, junit); j.Failures == 0 {
		t.Errorf("JUnit: %+v", j)
	}
	if _, errs, code := snapview(t, stateDir(t), "verify", dir, "--sql", filepath.Join(dir, "missing.sql")); code != exitUsage {
		t.Errorf("a script that is not there: exit code %d, want %d: %s", code, exitUsage, errs)
	}
}
