package growth

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// namesQuery lists the relations of the connected database that have files.
// pg_relation_filenode also knows the mapped ones, whose relfilenode column
// is zero. The table is that of an index, of a TOAST table or of its index.
const namesQuery = `
with toast as (select reltoastrelid as oid, relname from pg_catalog.pg_class where reltoastrelid <> 0)
select c.reltablespace, pg_relation_filenode(c.oid), c.relisshared, n.nspname, c.relname, c.relkind::text, c.oid < 16384,
	coalesce(toast.relname, indexed.relname, '')
from pg_catalog.pg_class c
	join pg_catalog.pg_namespace n on n.oid = c.relnamespace
	left join pg_catalog.pg_index i on i.indexrelid = c.oid
	left join pg_catalog.pg_class indexed on indexed.oid = i.indrelid
	left join toast on toast.oid = coalesce(i.indrelid, c.oid)
where pg_relation_filenode(c.oid) is not null`

// AddNames asks one database for the relations behind its files. The database's
// OID and its default tablespace come from the same connection, since files
// in a database's default tablespace have reltablespace 0.
func (names Names) AddNames(ctx context.Context, conn *pgx.Conn) error {
	var db, spc uint32
	var dbName string
	err := conn.QueryRow(ctx, `select oid, dattablespace, datname from pg_catalog.pg_database where datname = current_database()`).Scan(&db, &spc, &dbName)
	if err != nil {
		return fmt.Errorf("asking for the database's oid: %w", err)
	}
	const defaultTablespace = 1663 // DEFAULTTABLESPACE_OID: lies in base/
	rows, err := conn.Query(ctx, namesQuery)
	if err != nil {
		return fmt.Errorf("asking database %s for its relations: %w", dbName, err)
	}
	var tablespace, number uint32
	var shared bool
	rel := Relation{Database: dbName}
	_, err = pgx.ForEachRow(rows, []any{&tablespace, &number, &shared, &rel.Schema, &rel.Name, &rel.Kind, &rel.System, &rel.Table}, func() error {
		node := FileNode{Tablespace: tablespace, Database: db, Number: number}
		row := rel
		row.RelFileNode = number
		if tablespace == 0 {
			node.Tablespace = spc
		}
		switch {
		case shared:
			node = FileNode{Tablespace: globalTablespace, Number: number}
			row.Database = ""
		case node.Tablespace == defaultTablespace:
			node.Tablespace = 0
		}
		names[node] = row
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the relations of database %s: %w", dbName, err)
	}
	return nil
}
