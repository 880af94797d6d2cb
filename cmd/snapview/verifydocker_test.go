package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	reports "github.com/snapview/snapview/check"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// verifiedInDocker runs a restore test in a container and returns its report.
func verifiedInDocker(t *testing.T, ref string, args ...string) (r reports.Report, code int) {
	t.Helper()
	out, errs, code := snapview(t, stateDir(t), append([]string{"--json", "--quiet", "verify", ref, "--runner", "docker"}, args...)...)
	first, _, _ := strings.Cut(out, "\n")
	if err := json.Unmarshal([]byte(first), &r); err != nil {
		t.Fatalf("%v in %s\n%s", err, out, errs)
	}
	if left := containers(t); left != "" {
		t.Errorf("containers left behind: %s", left)
	}
	return r, code
}

// The newest of a chain of PostgreSQL 17's incremental backups passes every
// check that there is.
func TestVerifyInDockerPassesAChain(t *testing.T) {
	needsDocker(t, "17")
	r, code := verifiedInDocker(t, chain17(t, "fp-incr2"), "--files", "--heapallindexed", "--query", "select count(*) = 10000 from acct")
	if code != exitOK || !r.OK || r.Skipped != 0 {
		t.Errorf("exit code %d: %+v", code, r.Bad())
	}
	found := map[string]string{}
	for _, c := range r.Cases {
		found[c.Suite+" "+c.Name] = c.Detail
	}
	for name, want := range map[string]string{
		"preflight chain": "3 backups",
		"files checksums of the manifest of each backup of the chain": "1180 files",
		"pages database postgres":                                     "1177 pages",
		"amcheck database postgres":                                   "117 tables, 170 indexes",
		"collations database postgres":                                "",
		"extensions database postgres":                                "",
	} {
		if detail, ok := found[name]; !ok || !strings.Contains(detail, want) {
			t.Errorf("%s: %q, want %q", name, detail, want)
		}
	}
}

// What is damaged in a full backup is found through the incremental one that is
// built on it, and by amcheck where the page's checksum is right.
func TestVerifyInDockerNamesWhatIsDamaged(t *testing.T) {
	needsDocker(t, "17")
	dir := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
	base := filepath.Join(dir, "fp-full/base/5")
	flipByte(t, filepath.Join(base, "16385"), 30*8192+1000)      // acct
	rewritePage(t, filepath.Join(base, "16392"), 0, breakRow)    // shrink
	rewritePage(t, filepath.Join(base, "16390"), 20, breakOrder) // acct_pkey
	for ref, want := range map[string]string{
		"fp-full":  "public.acct public.acct_pkey public.shrink",
		"fp-incr2": "public.acct public.acct_pkey public.shrink",
	} {
		r, code := verifiedInDocker(t, filepath.Join(dir, ref))
		var pages, amcheck []string
		for _, c := range r.Bad() {
			for _, p := range c.Problems {
				if c.Suite == "pages" {
					pages = append(pages, p.Relation)
				} else if c.Suite == "amcheck" && (len(amcheck) == 0 || amcheck[len(amcheck)-1] != p.Relation) {
					amcheck = append(amcheck, p.Relation)
				}
			}
		}
		if code != exitCheck || strings.Join(pages, " ") != "public.acct" || strings.Join(amcheck, " ") != want {
			t.Errorf("%s: exit code %d, pages %v, amcheck %v: %+v", ref, code, pages, amcheck, r.Bad())
		}
	}
}
