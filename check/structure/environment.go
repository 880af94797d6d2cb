package structure

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/check"
)

// maxListed bounds the indexes that are named; more are counted.
const maxListed = 200

// Indexes on a collation whose version is not the one they were built with. The
// database's own collation (default, OID 100 in pg_collation.dat) has its
// version in pg_database, from PostgreSQL 15 on.
const (
	collationsQuery = `
select distinct i.indexrelid::regclass::text, c.collname || ', version ' || c.collversion || ', here ' || coalesce(pg_collation_actual_version(c.oid), 'unknown')
from pg_index i cross join lateral unnest(i.indcollation::oid[]) as u (coll) join pg_collation c on c.oid = u.coll
where c.collversion is not null and c.collversion is distinct from pg_collation_actual_version(c.oid)`
	defaultCollationQuery = `
union
select distinct i.indexrelid::regclass::text, 'default, version ' || d.datcollversion || ', here ' || coalesce(pg_database_collation_actual_version(d.oid), 'unknown')
from pg_index i cross join lateral unnest(i.indcollation::oid[]) as u (coll) join pg_database d on d.datname = current_database()
where u.coll = 100 and d.datcollversion is not null and d.datcollversion is distinct from pg_database_collation_actual_version(d.oid)`
	extensionsQuery = `
select e.extname || ' ' || e.extversion from pg_extension e
where not exists (select from pg_available_extensions a where a.name = e.extname) order by 1`
)

// Collations lists the indexes of a database that were built under another
// version of their collation than the server's: rows may be in the wrong order
// in them. more is how many are not listed.
func Collations(ctx context.Context, conn *pgx.Conn, database string) (suspect []check.Problem, more int, err error) {
	if err := prepare(ctx, conn); err != nil {
		return nil, 0, err
	}
	sql, major := collationsQuery, 0
	if err := conn.QueryRow(ctx, "select current_setting('server_version_num')::int / 10000").Scan(&major); err != nil {
		return nil, 0, err
	}
	if major >= 15 {
		sql += defaultCollationQuery
	}
	rows, err := conn.Query(ctx, sql+" order by 1, 2")
	if err != nil {
		return nil, 0, err
	}
	p := check.Problem{Database: database}
	_, err = pgx.ForEachRow(rows, []any{&p.Relation, &p.Message}, func() error {
		if len(suspect) >= maxListed {
			more++
			return nil
		}
		one := p
		one.Message = "collation " + p.Message
		suspect = append(suspect, one)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("asking for collations: %w", err)
	}
	return suspect, more, nil
}

// MissingExtensions lists the extensions of a database whose files the server
// does not have.
func MissingExtensions(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	if err := prepare(ctx, conn); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, extensionsQuery)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("asking for extensions: %w", err)
	}
	return names, nil
}
