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
		`create or replace function shop.wipe_by_function() returns int language sql as 'delete from shop.employees; select 1'`,
		`create or replace function shop.wipe_as_owner() returns int language sql security definer as 'delete from shop.employees; select 1'`,
		`create or replace view shop.wiping_view as select shop.wipe_as_owner()`)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := pgx.Connect(t.Context(), c.SuperDSN(webtest.DemoDatabase))
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(context.Background())
	state := func() (s string) {
		t.Helper()
		if err := owner.QueryRow(t.Context(), "select "+probe+"::text").Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := state()
	attempts, err := webtest.Attempts("shop.employees", "name", "shop.invoice_number", marker)
	if err != nil || len(attempts) < 32 {
		t.Fatalf("%d attempts, %v", len(attempts), err)
	}
	for _, a := range attempts {
		if got := refusal(e.query(a.SQL).End); got != a.Refused {
			t.Errorf("%q: refused by %q, want %q", a.SQL, got, a.Refused)
		}
		// The same as an export, which is another way to the gate.
		ans := e.do(e.request("POST", shop+"/export", map[string]any{"sql": a.SQL, "format": "csv"}))
		if ans.status == 200 && a.Refused != "" && !strings.Contains(string(ans.body), "export failed") {
			t.Errorf("%q was exported: %s", a.SQL, ans.body)
		}
		if after := state(); after != before {
			t.Fatalf("%q changed the cluster:\n%s\nwas\n%s", a.SQL, after, before)
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

// refusal is by what a statement was refused: a SQLSTATE, or a code of ours.
func refusal(end queryEnd) string {
	switch {
	case end.Error == nil:
		return ""
	case end.Error.SQLState != "":
		return end.Error.SQLState
	}
	return end.Error.Code
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
