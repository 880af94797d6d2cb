package web_test

import (
	"strings"
	"testing"

	"github.com/snapview/snapview/web/webtest"
)

// hardShop is tables that no plain list of INSERTs puts back: rows in an order
// against their keys, tables that refer to each other, rows without a key, a key
// that can be deferred, heirs, and sequences that count down or that nobody owns.
const hardShop = `
create schema hard;
create table hard.node (id int primary key, up int references hard.node, t text);
insert into hard.node select i, case when i < 500 then i + 1 end, 't' || i from generate_series(1, 500) i;
create table hard.city (id int generated always as identity primary key, boss int);
create table hard.person (id int primary key, city int not null references hard.city, twice int generated always as (id * 2) stored);
alter table hard.city add foreign key (boss) references hard.person;
insert into hard.city (boss) select null from generate_series(1, 20);
insert into hard.person (id, city) select i, 1 + i % 20 from generate_series(1, 300) i;
update hard.city set boss = 1 + id;
create table hard.keyless (a int, j json);
insert into hard.keyless values (1, '{}'), (1, '{}'), (null, null), (2, '[1]');
create table hard.deferred (id int primary key deferrable, t text);
insert into hard.deferred values (1, 'a'), (2, null);
create table hard.base (id int primary key);
create table hard.heir (extra int, primary key (id)) inherits (hard.base);
insert into hard.base values (1); insert into hard.heir values (2, 3);
create sequence hard.down increment -1; create sequence hard.free;
create table hard.counted (id int primary key default nextval('hard.down'), n bigint not null default nextval('hard.free'), small smallint generated always as identity (maxvalue 5));
insert into hard.counted (id, n, small) overriding system value values (-30, 40, 100), (-1, 1, 1);
create table hard.parts (id int, kind text, primary key (id, kind)) partition by list (kind);
create table hard.part_a partition of hard.parts for values in ('a');
create table hard.part_note (id int primary key, part int, kind text, foreign key (part, kind) references hard.parts);
insert into hard.parts values (1, 'a'), (2, 'a'); insert into hard.part_note values (1, 2, 'a');`

func TestPutBack_WhatNoListOfInsertsPutsBack(t *testing.T) {
	l := loseRows(t, "lost_hard", hardShop)
	e := newEnv(t)
	root := strings.Replace(shop, webtest.DemoDatabase, l.name, 1)
	ask := func(sql string) string {
		t.Helper()
		got, err := l.c.QueryText(t.Context(), l.name, sql)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, one := range []struct {
		table, filter, lose, same string
		children                  bool
	}{
		{"node", "", "truncate hard.node", "hard.node", false},
		{"node", "1.eq.500", "truncate hard.node", "hard.node", true}, // all are below the last
		{"city", "", "truncate hard.city, hard.person", "hard.person t join hard.city c on c.id = t.city", true},
		{"person", "1.eq.7", "delete from hard.node", "hard.person", false}, // nothing is lost: nothing changes
		{"keyless", "", "delete from hard.keyless where ctid in (select min(ctid) from hard.keyless where a = 1)", "hard.keyless", false},
		{"deferred", "", "delete from hard.deferred where id = 2", "hard.deferred", false},
		{"base", "", "truncate hard.base cascade", "hard.heir", false},
		{"counted", "", "truncate hard.counted", "hard.counted", false},
		{"part_note", "", "truncate hard.parts, hard.part_note", "hard.part_note t join hard.parts p on p.id = t.part", false},
	} {
		sum := "select count(*) || md5(string_agg(t::text, '|' order by t::text)) from " + one.same
		if !strings.Contains(one.same, " ") {
			sum += " t"
		}
		want := ask(sum)
		var rel struct {
			OID        uint32
			References []any
		}
		e.call("GET", root+"/schemas/hard/relations/"+one.table, nil, 200, &rel)
		if one.table == "part_note" && len(rel.References) != 1 {
			t.Errorf("%d foreign keys, want 1, without those of partitions", len(rel.References))
		}
		body := map[string]any{"format": "put-back", "relation": rel.OID, "parents": true, "children": one.children}
		if one.filter != "" {
			body["filter"] = []string{one.filter}
		}
		a := e.call("POST", root+"/export", body, 200, nil)
		if message := a.trailer.Get("X-Snapview-Error"); message != "" {
			t.Fatal(message)
		}
		if err := l.c.Exec(t.Context(), l.name, one.lose); err != nil {
			t.Fatal(err)
		}
		for range 2 { // a second run changes nothing
			l.run(a.body)
			if got := ask(sum); got != want {
				t.Errorf("%s %s: %s, want %s", one.table, one.filter, got, want)
			}
		}
	}
	if got := ask("select (select last_value from hard.down) || ' ' || (select last_value from hard.free) || ' ' || (select count(*) from only hard.base)"); got != "-30 40 1" {
		t.Errorf("sequences and rows of its own: %s", got)
	}
}
