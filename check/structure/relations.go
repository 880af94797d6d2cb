package structure

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// ErrNoAmcheck is returned where the server has no extension amcheck to create.
var ErrNoAmcheck = errors.New("this server has no extension amcheck: install its contrib modules (postgresql-contrib)")

// A relation is a table or an index to check.
type relation struct {
	OID   uint32
	Name  string // schema.name
	Kind  string // pg_class.relkind
	Bytes int64
	File  string // relative to the data directory
}

func (r relation) index() bool { return r.Kind == "i" }

// extension is amcheck as a database has it.
type extension struct {
	schema string // quoted
	heap   bool   // it checks tables: version 1.3, PostgreSQL 14
	rows   bool   // it can look for every row in an index: version 1.1, PostgreSQL 11
}

// prepare makes a connection ready: names mean the catalogue's, and no event
// trigger of the backup's runs.
func prepare(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "set search_path = pg_catalog; set session_replication_role = replica; set statement_timeout = 0; set lock_timeout = 0")
	return err
}

// install finds amcheck in the database, or creates it.
func install(ctx context.Context, conn *pgx.Conn) (extension, error) {
	var e extension
	var available int
	err := conn.QueryRow(ctx, "select count(*) from pg_available_extensions where name = 'amcheck'").Scan(&available)
	if err != nil {
		return e, fmt.Errorf("asking for the extension amcheck: %w", err)
	}
	if available == 0 {
		return e, ErrNoAmcheck
	}
	for _, sql := range []string{"create extension if not exists amcheck with schema pg_catalog", "alter extension amcheck update"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return e, fmt.Errorf("creating the extension amcheck: %w", err)
		}
	}
	var version string
	err = conn.QueryRow(ctx, "select quote_ident(n.nspname), e.extversion from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'amcheck'").Scan(&e.schema, &version)
	if err != nil {
		return e, fmt.Errorf("asking for the extension amcheck: %w", err)
	}
	v, err := strconv.ParseFloat(version, 64) // 1.0 to 1.5
	if err != nil {
		return e, fmt.Errorf("the extension amcheck has the version %q", version)
	}
	e.heap, e.rows = v >= 1.3, v >= 1.1
	return e, nil
}

// What amcheck can check: heaps, TOAST and materialised views included, and
// B-trees that are in use. Object identifiers 2 and 403 are the access methods
// heap and btree (pg_am.dat).
const (
	relationsQuery = `
select c.oid, n.nspname || '.' || c.relname, c.relkind::text, coalesce(pg_relation_size(c.oid), 0), coalesce(pg_relation_filepath(c.oid), '')
from pg_class c join pg_namespace n on n.oid = c.relnamespace left join pg_index i on i.indexrelid = c.oid
where c.relpersistence <> 't' and (not c.relisshared or $1) and
	(c.relkind in ('r', 'm', 't') and c.relam = 2 and $2 or
	 c.relkind = 'i' and c.relam = 403 and i.indisready and i.indisvalid and i.indislive)
order by 4 desc, 1`
	othersQuery = `
select count(*) from pg_class c left join pg_index i on i.indexrelid = c.oid
where c.relpersistence <> 't' and (not c.relisshared or $1) and
	(c.relkind in ('r', 'm', 't') and c.relam <> 2 or
	 c.relkind = 'i' and not (c.relam = 403 and i.indisready and i.indisvalid and i.indislive))`
)

// relations lists what is to be checked, the largest first, and how many
// relations amcheck does not know.
func relations(ctx context.Context, conn *pgx.Conn, e extension, shared bool) (list []relation, others int, err error) {
	rows, err := conn.Query(ctx, relationsQuery, shared, e.heap)
	if err == nil {
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[relation])
	}
	if err == nil && e.heap {
		err = conn.QueryRow(ctx, othersQuery, shared).Scan(&others)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("listing the relations to check: %w", err)
	}
	return list, others, nil
}
