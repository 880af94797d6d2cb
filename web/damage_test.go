package web_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRows_AroundDamage breaks pages of a table whose rows nobody has read yet,
// and sees that all others come, once, in the order of the file.
func TestRows_AroundDamage(t *testing.T) {
	e := newEnv(t)
	c := cluster(t)
	// Files of a database that was copied as files are in no buffer yet.
	if err := c.Exec(t.Context(), "postgres", "create database whole"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dropDatabase(c, "whole"); dropDatabase(c, "broken") })
	if err := c.Exec(t.Context(), "whole", "create table damaged as select i as id, repeat('x', 100) as filler from generate_series(1, 3000) i", "alter table damaged add primary key (id)"); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(t.Context(), "postgres", "create database broken template whole strategy file_copy"); err != nil {
		t.Fatal(err)
	}
	path, err := c.QueryText(t.Context(), "broken", "select current_setting('data_directory') || '/' || pg_relation_filepath('damaged')")
	if err != nil {
		t.Fatal(err)
	}
	blocks := []int64{0, 7, 8, 30}
	f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		if _, err := f.WriteAt([]byte(strings.Repeat("damage", 4)), block*8192); err != nil { // the header
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	const root = "/sessions/demo/databases/broken"
	var r struct{ OID uint32 }
	e.call("GET", root+"/schemas/public/relations/damaged", nil, 200, &r)
	table := fmt.Sprintf("%s/relations/%d", root, r.OID)
	var p struct {
		Code, SQLState, Hint string
		Damage               struct {
			Block       int64
			Table, Part string
			Readable    bool
		}
	}
	e.call("GET", table+"/rows?limit=100", nil, 422, &p)
	if d := p.Damage; p.SQLState != "XX001" || d.Block != 0 || d.Table != "damaged" || d.Part != "rows" || !d.Readable || p.Hint == "" {
		t.Errorf("damage: %+v", p)
	}
	e.call("GET", table+"/rows?skipDamaged=true&order=1.desc", nil, 400, nil)

	// What is there, by the one who knows where it was put.
	perPage := 0
	for _, limit := range []int{100, 5000} {
		params := url.Values{"skipDamaged": {"true"}, "limit": {fmt.Sprint(limit)}}
		rows, keys, _ := e.allRows(table, params)
		ids := make([]int, len(rows))
		for i, r := range rows {
			if _, err := fmt.Sscan(fmt.Sprint(r[0]), &ids[i]); err != nil || *keys[i] != fmt.Sprintf("[%q]", r[0]) {
				t.Fatalf("row %d is %v with the key %v", i, r[0], *keys[i])
			}
		}
		perPage = ids[0] - 1 // block 0 is lost
		var want []int
		for id := 1; id <= 3000; id++ {
			if !slices.Contains(blocks, int64((id-1)/perPage)) {
				want = append(want, id)
			}
		}
		if perPage < 20 || !slices.Equal(ids, want) {
			t.Errorf("pages of %d: %d rows of %d, beginning with %v", limit, len(ids), len(want), ids[:min(len(ids), 3)])
		}
	}
	var n struct {
		Rows          int
		DamagedBlocks []int64
	}
	e.call("GET", table+"/count?skipDamaged=true", nil, 200, &n)
	if n.Rows != 3000-4*perPage || !slices.Equal(n.DamagedBlocks, blocks) {
		t.Errorf("count: %+v, a page has %d rows", n, perPage)
	}
	// A filter that an index would answer does not go through it.
	rows, _, _ := e.allRows(table, url.Values{"skipDamaged": {"true"}, "filter": {"1.gt.2000"}})
	if len(rows) < 1000-perPage || len(rows) > 1000 {
		t.Errorf("%d rows above 2000", len(rows))
	}
	e.call("GET", e.oidOf("shop", "order_totals")+"/rows?skipDamaged=true", nil, 422, nil)
}
