package web_test

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/snapview/snapview/web/webtest"
)

const hostile = "/sessions/demo/databases/" + webtest.HostileDatabase

// newHostile starts a server beside the database of what a page must withstand.
func newHostile(t *testing.T) *env {
	t.Helper()
	c := cluster(t)
	if err := c.CreateHostile(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dropDatabase(c, webtest.HostileDatabase) })
	return newEnv(t)
}

// hostileOID returns the path of a relation of the hostile database.
func (e *env) hostileOID(name string) string {
	e.t.Helper()
	var r struct{ OID uint32 }
	e.call("GET", hostile+"/schemas/public/relations/"+url.PathEscape(name), nil, 200, &r)
	return fmt.Sprintf("%s/relations/%d", hostile, r.OID)
}

func TestHostile(t *testing.T) {
	e := newHostile(t)
	text := func(sql string) string {
		t.Helper()
		s, err := cluster(t).QueryText(t.Context(), webtest.HostileDatabase, sql)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("values come as they are", func(t *testing.T) {
		var p rowPage
		e.call("GET", e.hostileOID("cells")+"/rows", nil, 200, &p)
		for i, row := range p.Rows {
			got, _ := row[2].(string)
			if m, cut := row[2].(map[string]any); cut {
				got = m["cut"].(string)
			}
			if want := text(fmt.Sprintf("select left(value, 2048) from cells where id = %d", i+1)); got != want {
				t.Errorf("%v: %q, want %q", row[1], got, want)
			}
		}
		if len(p.Rows) != 17 || p.Rows[14][2] != "" || p.Rows[15][2] != nil {
			t.Errorf("%d rows; empty %q, null %v", len(p.Rows), p.Rows[14][2], p.Rows[15][2])
		}
	})
	t.Run("what is below a table, and what has no rows to show", func(t *testing.T) {
		var parts struct {
			Partitions []struct {
				Name, Kind, Bound string
				Level             int
				Bytes             int64
			}
		}
		e.call("GET", e.hostileOID("parts"), nil, 200, &parts)
		var tree []string
		for _, p := range parts.Partitions {
			tree = append(tree, fmt.Sprintf("%d %s %s: %s", p.Level, p.Kind, p.Name, p.Bound))
			if p.Bytes < 0 {
				t.Errorf("%s has %d bytes", p.Name, p.Bytes)
			}
		}
		if got, want := strings.Join(tree, "\n"), `1 partition b_of_parts: DEFAULT
1 partitioned-table z_of_parts: FOR VALUES IN ('de', 'fr')
2 partition a_of_z: FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')`; got != want {
			t.Errorf("below parts:\n%s\nwant\n%s", got, want)
		}
		for name, want := range map[string]string{
			"grandchild": ") INHERITS (public.family);",
			"a_of_z":     `ALTER TABLE public.z_of_parts ATTACH PARTITION "public"."a_of_z" FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');`,
		} {
			var r struct{ DDL string }
			if e.call("GET", e.hostileOID(name), nil, 200, &r); !strings.Contains(r.DDL, want) {
				t.Errorf("%s is made by\n%s\nwant %s", name, r.DDL, want)
			}
		}
		var p rowPage
		if e.call("GET", e.hostileOID("no_columns")+"/rows", nil, 200, &p); len(p.Rows) != 0 {
			t.Errorf("rows of no columns: %v", p.Rows)
		}
		e.refused("GET", e.hostileOID("never_filled")+"/rows", nil, 422, "sql-error")
		// A row by its key, wherever it stands.
		if e.call("GET", e.hostileOID("far")+"/rows?limit=1&key="+url.QueryEscape(`["2345"]`), nil, 200, &p); len(p.Rows) != 1 || p.Rows[0][2] != "row 2345" {
			t.Errorf("row 2345: %v", p.Rows)
		}
	})
	t.Run("1600 columns", func(t *testing.T) {
		wide := e.hostileOID("wide")
		var p rowPage
		e.call("GET", wide+"/rows?limit=20&order=4.desc&order=2.asc&order=800.desc", nil, 200, &p)
		if len(p.Columns) != 1600 || len(p.Rows) != 20 || len(p.Rows[19]) != 1600 || p.Next == "" {
			t.Fatalf("%d columns, %d rows", len(p.Columns), len(p.Rows))
		}
		for i, v := range p.Rows[0] {
			want := fmt.Sprint(i % 10)
			if i%3 == 0 {
				want = "t"
			}
			if i > 0 && v != want {
				t.Fatalf("column %d: %v, want %s", i+1, v, want)
			}
		}
		e.call("GET", wide+"/rows?limit=20&order=4.desc&order=2.asc&order=800.desc&cursor="+p.Next, nil, 200, &p)
		var export struct{ URL string }
		e.call("POST", hostile+"/exports", map[string]any{"relation": oidIn(wide), "keys": []string{`["7"]`}, "format": "put-back"}, 201, &export)
		script := e.call("GET", strings.TrimPrefix(export.URL, "/api/v1"), nil, 200, nil)
		if !bytes.Contains(script.body, []byte(`"c1599") VALUES`)) {
			t.Errorf("%.300s", script.body)
		}
	})
	t.Run("10 MB values", func(t *testing.T) {
		big := e.hostileOID("big")
		var p rowPage
		a := e.call("GET", big+"/rows", nil, 200, &p)
		if len(a.body) > 64<<10 || len(p.Rows) != 3 {
			t.Errorf("%d rows in %d bytes", len(p.Rows), len(a.body))
		}
		for column, name := range map[int]string{2: "story", 3: "doc"} {
			whole := e.call("GET", fmt.Sprintf(`%s/cell?column=%d&key=["2"]`, big, column), nil, 200, nil)
			if want := text("select " + name + "::text from big where id = 2"); string(whole.body) != want {
				t.Errorf("%s: %d bytes, want %d", name, len(whole.body), len(want))
			}
		}
		end := e.call("GET", big+`/cell?column=4&key=["2"]&as=binary&offset=10485756&length=100`, nil, 200, nil)
		if !bytes.Equal(end.body, []byte{0xff, 0xfe, 0xfd, 0xfc}) || end.header.Get("X-Snapview-Bytes") != "10485760" {
			t.Errorf("its end: %x, %v", end.body, end.header)
		}
	})
	t.Run("names", func(t *testing.T) {
		var page struct {
			Items []struct {
				OID  uint32
				Name string
			}
		}
		e.call("GET", hostile+"/relations?q="+url.QueryEscape("new\nLINE \"quoted\" 's"), nil, 200, &page)
		if len(page.Items) != 1 {
			t.Fatalf("%+v", page)
		}
		name := page.Items[0].Name
		path := e.hostileOID(name)
		var p rowPage
		e.call("GET", path+"/rows?filter="+url.QueryEscape("4.eq.<c>"), nil, 200, &p)
		if len(p.Rows) != 1 || p.Columns[1].Name != "col\numn \"x\" <i>" {
			t.Errorf("%+v", p)
		}
		oid := oidIn(path)
		a := e.call("POST", hostile+"/export", map[string]any{"relation": oid, "format": "put-back"}, 200, nil)
		if bytes.Contains(a.body, []byte("\n-- public.new\nline")) || !bytes.Contains(a.body, []byte("COMMIT")) {
			t.Errorf("%s", a.body)
		}
		a = e.call("POST", hostile+"/export", map[string]any{"relation": oid, "format": "csv"}, 200, nil)
		if d := a.header.Get("Content-Disposition"); strings.ContainsAny(d, "\n\u202e<>") {
			t.Errorf("Content-Disposition %q", d)
		}
		e.hostileOID("…/../%2e%2e/?x=1#y")
	})
	t.Run("files", func(t *testing.T) {
		files := e.hostileOID("files")
		looks := map[string]string{
			"picture.png": "image ", "photo.jpg": "image ", "chequers.gif": "image ", "dot.webp": "image ", "damaged.png": "image ", "report.pdf": "pdf ",
			"drawing.svg": "xml utf-8", "page.html": "xml utf-8", "order.json": "json utf-8", "letter.txt": "text windows-1252", "wide.txt": "text utf-16le",
			"long.txt": "text utf-8", "archive.zip": "binary ", "nothing": "text utf-8",
		}
		for i, f := range webtest.HostileFiles() {
			cell := fmt.Sprintf(`%s/cell?column=3&key=["%d"]`, files, i+1)
			h := e.call("GET", cell+"&as=binary&offset=0", nil, 200, nil).header
			if got := h.Get("X-Snapview-Look") + " " + h.Get("X-Snapview-Charset"); got != looks[f.Name] {
				t.Errorf("%s: %q, want %q", f.Name, got, looks[f.Name])
			}
			a := e.do(e.request("GET", cell+"&as=image", nil))
			shown := strings.HasPrefix(looks[f.Name], "image") // the browser finds the damage
			if shown != (a.status == 200) || shown && !bytes.Equal(a.body, f.Content) {
				t.Errorf("%s as a picture: %d %v", f.Name, a.status, a.header)
			}
		}
	})
}

// oidIn returns the OID that the path of a relation ends in.
func oidIn(path string) (oid uint32) {
	_, _ = fmt.Sscanf(path[strings.LastIndexByte(path, '/')+1:], "%d", &oid) // zero is refused
	return oid
}
