package web_test

import (
	"fmt"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/snapview/snapview/testneeds"
	"github.com/snapview/snapview/web/webtest"
)

// The oracle is pg_dump: the statements that are shown of every relation, run
// in another database in the order in which the relations were made, must make
// a schema of which pg_dump says the same.
func TestRelation_DefinitionsMakeTheSame(t *testing.T) {
	if _, err := exec.LookPath("pg_dump"); err != nil {
		testneeds.Missing(t, "pg_dump")
	}
	e, c := newEnv(t), makeOdd(t)
	if err := c.Exec(t.Context(), "postgres", "create database odd_again"); err != nil {
		t.Fatal(err)
	}
	roles := regexp.MustCompile(`(?m)^create role .*$`) // are of the cluster
	if err := c.Exec(t.Context(), "odd_again", roles.ReplaceAllString(webtest.OddPrelude(), "")); err != nil {
		t.Fatal(err)
	}
	type relation struct {
		OID          uint32
		Schema, Name string
		DDL          string
	}
	var list struct{ Items []relation }
	odd := "/sessions/demo/databases/odd"
	e.call("GET", odd+"/relations?limit=500", nil, 200, &list)
	slices.SortFunc(list.Items, func(a, b relation) int { return int(a.OID) - int(b.OID) })
	var statements, last []string
	for _, r := range list.Items {
		e.call("GET", odd+"/schemas/"+url.PathEscape(r.Schema)+"/relations/"+url.PathEscape(r.Name), nil, 200, &r)
		switch create, owned, ok := strings.Cut(r.DDL, "\nALTER SEQUENCE"); {
		case strings.Contains(r.DDL, "\n-- It is made with the identity column"):
		case ok: // a sequence, whose table does not exist yet
			statements, last = append(statements, create), append(last, "ALTER SEQUENCE"+owned)
		default:
			statements = append(statements, r.DDL)
		}
	}
	if len(statements) < 22 {
		t.Fatalf("%d relations", len(statements))
	}
	if err := c.Exec(t.Context(), "odd_again", append(statements, last...)...); err != nil {
		t.Fatalf("%v in\n%s", err, strings.Join(statements, "\n"))
	}
	want, got := schemaDump(t, c, "odd"), schemaDump(t, c, "odd_again")
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Fatalf("pg_dump says\n%s\nof what is made again; of what was there\n%s",
				strings.Join(got[max(0, min(i-12, len(got))):min(i+3, len(got))], "\n"), strings.Join(want[max(0, min(i-12, len(want))):min(i+3, len(want))], "\n"))
		}
	}
}

// Values are compared as they were typed, whatever the column's type can hold.
func TestRows_FiltersOfOddTypes(t *testing.T) {
	e := newEnv(t)
	makeOdd(t)
	var r struct{ OID int }
	odd := "/sessions/demo/databases/odd"
	e.call("GET", odd+"/schemas/odd/relations/values", nil, 200, &r)
	path := fmt.Sprintf("%s/relations/%d", odd, r.OID)
	for filter, want := range map[string]string{
		"2.eq.abcx": "[]", "2.ge.abcx": "[2]", "3.gt.1.24": "[2]", "3.eq.1.24": "[]", "3.le.1.24": "[1]", "4.eq.abcdx": "[]", "4.eq.ab": "[1]", "5.eq.1011": "[]", "5.eq.101": "[1]",
		"6.gt.0": "[1 2]", "6.ne.1": "[2 3]", "7.gt.2026-01-01 10:00:00.6": "[2]",
		"8.eq.ZOË": "[1 2]", "8.contains.oË": "[1 2]", "8.like.Z%": "[1]", "8.ilike.z_ë": "[1 2]",
		"9.eq.(1,2)": "[1]", "9.ne.(1,2)": "[2 3]", "10.eq.(1,1),(0,0)": "[1]", `11.eq.{"a": 1}`: "[1]", "12.eq.{}": "[2]", "12.contains.a": "[1]", "13.eq.<a/>": "[1]", "14.eq.30": "[2]", "14.ne.30": "[1 3]",
		"15.gt.fine": "[2]", "15.contains.so": "[2]", `16.eq.{a,b c}`: "[1]", "16.contains.b c": "[1]", "16.eq.{}": "[2]", `17.eq.{"[1,4]"}`: "[1]", "18.contains.ada": "[1]", "18.eq.(Ada,1815-12-10,fine)": "[1]", "18.null": "[2 3]",
	} {
		var p rowPage
		e.call("GET", path+"/rows?"+url.Values{"filter": {filter}}.Encode(), nil, 200, &p)
		ids := []any{}
		for _, row := range p.Rows {
			ids = append(ids, row[0])
		}
		if got := fmt.Sprint(ids); got != want {
			t.Errorf("filter %s: rows %s, want %s", filter, got, want)
		}
	}
	// Every column sorts both ways, page by page, and has its most frequent values.
	for c := 1; c <= 18; c++ {
		for _, way := range []string{"asc", "desc"} {
			order := url.Values{"limit": {"1"}, "order": {fmt.Sprintf("%d.%s", c, way)}}
			for rows := 0; rows < 3; rows++ {
				var p rowPage
				e.call("GET", path+"/rows?"+order.Encode(), nil, 200, &p)
				if order.Set("cursor", p.Next); len(p.Rows) != 1 || (p.Next == "") != (rows == 2) {
					t.Fatalf("column %d %s, page %d: %+v", c, way, rows, p)
				}
			}
		}
		var f struct{ Items []any }
		if e.call("GET", fmt.Sprintf("%s/facets?column=%d&exact=true", path, c), nil, 200, &f); len(f.Items) == 0 {
			t.Errorf("column %d has no frequent values", c)
		}
	}
}

// makeOdd makes the database odd, once.
func makeOdd(t *testing.T) *webtest.Cluster {
	t.Helper()
	c := cluster(t)
	there, err := c.QueryText(t.Context(), "postgres", "select exists (select from pg_database where datname = 'odd')")
	if err == nil && there == "false" {
		err = c.CreateOdd(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// schemaDump returns the lines of pg_dump's definition of a database.
func schemaDump(t *testing.T, c *webtest.Cluster, database string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "pg_dump", "--schema-only", "--dbname", c.SuperDSN(database)).Output()
	if err != nil {
		t.Fatal(err)
	}
	nonce := regexp.MustCompile(`(?m)^\\(un)?restrict .*$`)
	return strings.Split(nonce.ReplaceAllString(string(out), ""), "\n")
}
