package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

func TestQueryAnswersFromEveryKindOfBackup(t *testing.T) {
	needsPostgres(t, "15")
	for name, backup := range map[string]func(*testing.T) string{
		"data directory": plainBackup, "tar folder": tarFolder, "one tar": oneTar, "compressed tar folder": gzippedFolder,
	} {
		t.Run(name, func(t *testing.T) {
			ref := backup(t)
			snapshottest.Untouched(t, filepath.Dir(ref))
			out := must(t, stateDir(t), "query", ref, "--runner", "local", "--db", "postgres", "--format", "csv", stateQuery)
			if got := lastLine(out); got != stateA {
				t.Errorf("the backup answered %q, want %q", got, stateA)
			}
		})
	}
}

func TestQueryPrintsEveryFormat(t *testing.T) {
	needsPostgres(t, "15")
	state, ref := stateDir(t), plainBackup(t)
	for format, want := range map[string]string{
		"table":  "n  t\n1  a\n2  \n",
		"csv":    "n,t\n1,a\n2,\n",
		"ndjson": `{"n":"1","t":"a"}`,
	} {
		out := must(t, state, "query", ref, "--runner", "local", "--format", format, "select 1 as n, 'a' as t union all select 2, null order by 1")
		if !strings.Contains(out, want) && format != "ndjson" {
			t.Errorf("%s: %q does not hold %q", format, out, want)
		}
		if strings.Count(out, "\n") < 2 {
			t.Errorf("%s: two rows in %q", format, out)
		}
	}
	out := must(t, state, "query", ref, "--runner", "local", "-f", "csv", "--delimiter", ";", "--null", "NULL", "--header=false", "--quote", "text", "--line-end", "crlf", "--limit", "2",
		"select n, nullif(n, 2) || ';' as t from generate_series(1, 9) n")
	if want := "1;\"1;\"\r\n2;NULL\r\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
}

func TestQueryRefusesOptionsOfAnotherFormat(t *testing.T) {
	for _, args := range [][]string{{"--delimiter", ";"}, {"-f", "table", "--limit", "3"}, {"-f", "xml"}} {
		_, errs, code := snapview(t, stateDir(t), append([]string{"query", "nowhere", "select 1"}, args...)...)
		if code != exitUsage || !strings.Contains(errs, "format") {
			t.Errorf("%v: exit code %d: %s", args, code, errs)
		}
	}
}

func TestQueryThatFailsSaysWhere(t *testing.T) {
	needsPostgres(t, "15")
	state, ref := stateDir(t), plainBackup(t)
	_, errs, code := snapview(t, state, "query", ref, "--runner", "local", "select nonsense from ev")
	if code != exitQuery || !strings.Contains(errs, `column "nonsense" does not exist`) || !strings.Contains(errs, "\n               ^") {
		t.Errorf("exit code %d, want %d; the place must be marked in:\n%s", code, exitQuery, errs)
	}
	_, errs, code = snapview(t, state, "query", ref, "--runner", "local", "delete from ev")
	if code != exitQuery {
		t.Errorf("a delete ended with exit code %d, want %d: %s", code, exitQuery, errs)
	}
}
