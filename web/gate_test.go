package web_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/web/webtest"
)

// The statements that try to write or to escape. Each must be refused through
// the API, or do no harm; state must be the same after all of them.
var attempts = []struct {
	sql      string
	harmless bool // it may answer; what it answers changes nothing
}{
	{sql: "insert into shop.empty values (1, 'x')"},
	{sql: "insert into shop.empty values (2, 'x') returning id"},
	{sql: "update shop.employees set name = 'x' where id = 1"},
	{sql: "update shop.employees set name = 'x' where id = 1 returning name"},
	{sql: "delete from shop.employees where id = 4"},
	{sql: "with gone as (delete from shop.employees where id = 3 returning *) select * from gone"},
	{sql: "merge into shop.employees e using (select 1 as id) s on e.id = s.id when matched then update set name = 'y'"},
	{sql: "truncate shop.empty"},
	{sql: "create table shop.mine (id int)"},
	{sql: "create table shop.mine2 as select 1 as x"},
	{sql: "select 1 as x into shop.mine3"},
	{sql: "create temp table mine (id int)"},
	{sql: "drop view shop.order_totals"},
	{sql: "alter table shop.empty add column more int"},
	{sql: "grant all on shop.empty to public"},
	{sql: "select nextval('shop.invoice_number')"},
	{sql: "select setval('shop.invoice_number', 5)"},
	{sql: "select 1; delete from shop.employees"},
	{sql: "select 1; commit; delete from shop.log"},
	{sql: "commit"},
	{sql: "rollback"},
	{sql: "set transaction read write"},
	{sql: "set session characteristics as transaction read write"},
	{sql: "select set_config('transaction_read_only', 'off', true)"},
	{sql: "select set_config('default_transaction_read_only', 'off', false)", harmless: true},
	{sql: "set role postgres"},
	{sql: "select set_config('role', 'postgres', false)"},
	{sql: "select set_config('session_authorization', 'postgres', false)"},
	{sql: "do $$ begin delete from shop.employees; end $$"},
	{sql: "call shop.wipe()"},
	{sql: "call shop.wipe_out(null)"},
	{sql: "select shop.wipe_by_function()"},
	{sql: "copy shop.empty from program 'echo 9,x' (format csv)"},
	{sql: "copy (select 1) to program 'cat > FILE'"},
	{sql: "copy (select 1) to 'FILE'"},
	{sql: "copy shop.employees to stdout"},
	{sql: "select pg_read_file('/etc/passwd')"},
	{sql: "select * from pg_ls_dir('/etc')"},
	{sql: "select lo_import('/etc/passwd')"},
	// PostgreSQL 15 lets these two run in a read-only transaction; it is
	// rolled back, and a standby refuses them.
	{sql: "select lo_create(0)", harmless: true},
	{sql: "select lo_from_bytea(0, '\\x00')", harmless: true},
	{sql: "select lo_export(1, 'FILE')"},
	{sql: "select pg_reload_conf()"},
	{sql: "select pg_rotate_logfile()"},
	{sql: "alter system set work_mem = '1GB'"},
	{sql: "select pg_switch_wal()"},
	{sql: "select pg_create_restore_point('x')"},
	{sql: "select pg_create_physical_replication_slot('mine')"},
	{sql: "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'"},
	{sql: "vacuum shop.empty"},
	{sql: "analyze shop.empty"},
	{sql: "reindex table shop.empty"},
	{sql: "cluster shop.empty using empty_pkey"},
	{sql: "refresh materialized view shop.sales_by_city"},
	{sql: "lock table shop.empty in access exclusive mode"},
	{sql: "select * from shop.empty for update"},
	{sql: "notify mine"},
	{sql: "listen mine"},
	{sql: "load 'plpgsql'"},
	{sql: "create extension dblink"},
	{sql: "select dblink_exec('host=SOCKET user=postgres', 'delete from shop.employees')"},
	{sql: "explain analyze delete from shop.employees"},
	{sql: "explain analyze create table shop.mine4 as select 1"},
	{sql: "prepare mine as delete from shop.employees"},
	{sql: "execute snapview_statement"},
	{sql: "declare c cursor with hold for select 1"},
	{sql: "deallocate all", harmless: true},
	{sql: "discard all"},
	{sql: "select pg_advisory_lock(1)", harmless: true},
	{sql: "select txid_current()", harmless: true},
}

// probe is everything that an attempt could change, as one text.
const probe = `jsonb_build_object(
	'employees', (select jsonb_agg(e order by id) from shop.employees e),
	'empty', (select count(*) from shop.empty), 'log', (select count(*) from shop.log),
	'classes', (select jsonb_agg(jsonb_build_array(oid, relname, relfilenode, relacl, relnatts) order by oid) from pg_class where relnamespace = 'shop'::regnamespace),
	'sequence', (select jsonb_build_array(last_value, is_called) from shop.invoice_number),
	'objects', (select count(*) from pg_largeobject_metadata),
	'slots', (select count(*) from pg_replication_slots),
	'extensions', (select jsonb_agg(extname order by 1) from pg_extension),
	'settings', (select jsonb_agg(jsonb_build_array(name, setting) order by 1) from pg_file_settings),
	'roles', (select jsonb_agg(jsonb_build_array(rolname, rolsuper) order by 1) from pg_roles))`

func TestGate_AttemptsToWriteOrEscape(t *testing.T) {
	e := newEnv(t)
	c := cluster(t)
	marker := filepath.Join(c.SocketDir(), "escaped")
	err := c.Exec(t.Context(), webtest.DemoDatabase,
		`create or replace procedure shop.wipe() language sql as 'delete from shop.employees'`,
		`create or replace procedure shop.wipe_out(inout n int) language plpgsql as $$ begin delete from shop.employees; commit; n := 1; end $$`,
		`create or replace function shop.wipe_by_function() returns int language sql as 'delete from shop.employees; select 1'`)
	if err != nil {
		t.Fatal(err)
	}
	state := func() string {
		s, err := c.QueryText(t.Context(), webtest.DemoDatabase, probe)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	fill := strings.NewReplacer("FILE", marker, "SOCKET", c.SocketDir()).Replace
	before := state()
	if len(attempts) < 32 {
		t.Fatalf("only %d attempts", len(attempts))
	}
	for _, a := range attempts {
		r := e.query(fill(a.sql))
		if r.End.Error == nil && !a.harmless {
			t.Errorf("%q was run: rows %v", a.sql, r.Rows)
		}
		if after := state(); after != before {
			t.Fatalf("%q changed the cluster:\n%s\nwas\n%s", a.sql, after, before)
		}
		// The same as an export, which is another way to the gate.
		ans := e.do(e.request("POST", shop+"/export", map[string]any{"sql": fill(a.sql), "format": "csv"}))
		if ans.status == 200 && !a.harmless && !strings.Contains(string(ans.body), "export failed") {
			t.Errorf("%q was exported: %s", a.sql, ans.body)
		}
		if after := state(); after != before {
			t.Fatalf("%q changed the cluster as an export:\n%s\nwas\n%s", a.sql, after, before)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Errorf("a statement wrote the file %s", marker)
	}
	// What one left behind, none finds.
	r := e.query("select current_user, current_setting('default_transaction_read_only'), current_setting('transaction_read_only')")
	if row := r.Rows[0]; row[0] != webtest.Reader || row[1] != "on" || row[2] != "on" {
		t.Errorf("a later statement finds %v", row)
	}
}

// TestGate_AttemptsAreReal sees the oracle fail: a superuser outside of the
// gate can do these things, each in a transaction that is rolled back.
func TestGate_AttemptsAreReal(t *testing.T) {
	c := cluster(t)
	ctx := t.Context()
	marker := filepath.Join(c.SocketDir(), "escaped-as-superuser")
	fill := strings.NewReplacer("FILE", marker, "SOCKET", c.SocketDir()).Replace
	if err := c.CreateDemoAs(ctx, "victim"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dropDatabase(c, "victim") })
	state := func() string {
		s, err := c.QueryText(ctx, "victim", probe)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := state()
	conn, err := pgx.Connect(ctx, c.SuperDSN("victim"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range []string{
		"insert into shop.empty values (1, 'x')", "select 1; delete from shop.employees where id = 4",
		"copy (select 1) to program 'cat > FILE'", "select lo_create(0)", "select setval('shop.invoice_number', 5)",
		"create table shop.mine (id int)",
	} {
		if _, err := conn.Exec(ctx, fill(sql)); err != nil {
			t.Errorf("a superuser cannot %q: %v", sql, err)
		}
	}
	if state() == before {
		t.Error("the probe does not see that the cluster was changed")
	}
	if _, err := os.Stat(marker); err != nil {
		t.Errorf("COPY TO PROGRAM as a superuser wrote no file: %v", err)
	}
	// Without the gate, the simple protocol runs what follows a COMMIT even
	// in a transaction that was begun read-only.
	if _, err := conn.Exec(ctx, "begin read only"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "select 1; commit; delete from shop.log where level = 1"); err != nil {
		t.Errorf("the escape by COMMIT does not work even without the gate: %v", err)
	}
}
