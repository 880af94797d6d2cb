package check

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"
)

func TestReport_CountsAndWritesJUnit(t *testing.T) {
	r := NewReport("/backups/a <b>")
	block := uint32(7)
	r.Add(Case{Suite: "open", Name: "recover", Outcome: Passed, Took: 1500 * time.Millisecond})
	r.Add(Case{Suite: "pages", Name: "database shop", Outcome: Failed, Took: time.Second, Detail: "2 of 3 pages", More: 1,
		Problems: []Problem{{Database: "shop", Relation: "public.orders", File: "base/5/16384", Block: &block, Message: "bad \x01 checksum"}}})
	r.Add(Case{Suite: "pages", Name: "database other", Outcome: Warned, Detail: "no checksums"})
	r.Add(Case{Suite: "amcheck", Name: "database shop", Outcome: Errored, Detail: "not installed"})
	r.Add(Case{Suite: "sql", Name: "query 1", Outcome: Skipped, Detail: "why"})
	r.End()
	if r.OK || r.Passed != 2 || r.Failed != 2 || r.Skipped != 1 || len(r.Bad()) != 2 {
		t.Errorf("%+v", r)
	}
	var out strings.Builder
	if err := r.WriteJUnit(&out); err != nil {
		t.Fatal(err)
	}
	var back junitSuites
	if err := xml.Unmarshal([]byte(out.String()), &back); err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	if back.Tests != 5 || back.Failures != 1 || back.Errors != 1 || back.Skipped != 1 || len(back.Suites) != 4 {
		t.Errorf("sums: %+v", back)
	}
	pages := back.Suites[1]
	if pages.Name != "pages" || pages.Tests != 2 || pages.Failures != 1 || pages.Time != "1.000" {
		t.Errorf("suite: %+v", pages)
	}
	want := "database shop, public.orders, base/5/16384, block 7: bad"
	if f := pages.Cases[0].Failure; f == nil || !strings.HasPrefix(f.Text, want) || !strings.Contains(f.Text, "and 1 more") {
		t.Errorf("failure: %+v, want %s", f, want)
	}
	if back.Suites[0].Cases[0].Time != "1.500" {
		t.Errorf("time: %+v", back.Suites[0].Cases[0])
	}
}
