package web

import "testing"

func TestRelationAt(t *testing.T) {
	for _, c := range []struct {
		sql      string
		position int
		want     string
	}{
		{"select * from Orders o", 15, "orders"},
		{"select 'ä😀', * from orders", 21, "orders"},
		{`select * from shop . "Or""ders"`, 15, `Or"ders`},
		{`table "half`, 7, "half"},
		{"table größe.maß;", 7, "maß"},
		{"table a$1_b(", 7, "a$1_b"},
		{"select 1", 0, ""},
		{"select 1", 99, ""},
		{"select (", 8, ""},
		{"table a.", 7, ""},
	} {
		if got := relationAt(c.sql, c.position); got != c.want {
			t.Errorf("relationAt(%q, %d) = %q, want %q", c.sql, c.position, got, c.want)
		}
	}
}
