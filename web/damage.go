package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A page of a table may be damaged in the backup: PostgreSQL refuses to read a
// block whose checksum or header is wrong, and every scan that comes to it
// fails. What lies behind it is read by ranges of places that leave the block
// out (a TID range scan, PostgreSQL 14 and later), in the order of the file.
// Nothing is changed for that, in the server's settings (zero_damaged_pages
// would take a superuser) or in the overlay.

// Damage says what a damaged page belongs to.
type Damage struct {
	Block  int64  `json:"block"`
	OID    uint32 `json:"oid"` // of the table
	Schema string `json:"schema"`
	Table  string `json:"table"`
	// Part is "rows"; "index" for a page of one of the table's indexes; "values"
	// for one of the file that holds its long values (TOAST).
	Part  string `json:"part"`
	Index string `json:"index,omitempty"`
	// Readable says that listRows and countRows of the relation that was asked
	// for can read around it.
	Readable bool `json:"readable"`
}

// aroundParams have PostgreSQL read ranges of places, whatever it thinks of
// them: any other scan would come to the damaged blocks, or bring another order.
var aroundParams = map[string]string{
	"synchronize_seqscans": "off", "max_parallel_workers_per_gather": "0",
	"enable_seqscan": "off", "enable_indexscan": "off", "enable_indexonlyscan": "off", "enable_bitmapscan": "off",
}

// mostDamaged is how many damaged blocks are left out in one page of rows.
const mostDamaged = 500

// The message of PostgreSQL (bufmgr.c): of one page, and since 18 of some that
// were read at once; the detail names the first of those.
var (
	invalidPage  = regexp.MustCompile(`^invalid page in block ([0-9]{1,10}) of relation "?([^"]+?)"?$`)
	invalidPages = regexp.MustCompile(`^[0-9]+ invalid pages among blocks [0-9]+\.\.[0-9]+ of relation "?([^"]+?)"?$`)
	firstInvalid = regexp.MustCompile(`^Block ([0-9]{1,10}) held (?:the )?first invalid page`)
	filePath     = regexp.MustCompile(`^(?:base|global|pg_tblspc/([0-9]{1,10})/[^/]+)(?:/[0-9]+)?/([0-9]{1,10})$`)
)

// damagedBlock returns the block that PostgreSQL refused to read and the path of
// its file, relative to the data directory.
func damagedBlock(err error) (block int64, path string, ok bool) {
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "XX001" { // data_corrupted
		return 0, "", false
	}
	number := ""
	if m := invalidPage.FindStringSubmatch(e.Message); m != nil {
		number, path = m[1], m[2]
	} else if m := invalidPages.FindStringSubmatch(e.Message); m != nil {
		path = m[1]
		if m := firstInvalid.FindStringSubmatch(e.Detail); m != nil {
			number = m[1]
		}
	}
	block, bad := strconv.ParseInt(number, 10, 64)
	return block, path, bad == nil
}

// sqlDamage finds the table that a file belongs to. $1 the tablespace's OID (0
// for the database's own), $2 the file's number.
const sqlDamage = `select t.oid, n.nspname::text, t.relname::text, x.part, x.name, pg_catalog.current_setting('server_version_num')::int
from pg_catalog.pg_class c
left join pg_catalog.pg_index i on i.indexrelid = c.oid
left join pg_catalog.pg_class o on o.reltoastrelid = coalesce(i.indrelid, c.oid)
cross join lateral (select case when o.oid is not null then 'values' when i.indrelid is not null then 'index' else 'rows' end as part,
  case when o.oid is null and i.indrelid is not null then c.relname::text else '' end as name) x
join pg_catalog.pg_class t on t.oid = coalesce(o.oid, i.indrelid, c.oid)
join pg_catalog.pg_namespace n on n.oid = t.relnamespace
where c.oid = pg_catalog.pg_filenode_relation($1, $2)`

// withDamage says of an error of reading a relation's rows what is damaged, if
// that is why.
func withDamage(ctx context.Context, db querier, rel *relation, err error) error {
	block, path, ok := damagedBlock(err)
	if !ok {
		return err
	}
	m := filePath.FindStringSubmatch(path)
	if m == nil {
		return err
	}
	space, _ := strconv.ParseUint("0"+m[1], 10, 32)
	node, _ := strconv.ParseUint(m[2], 10, 32)
	d := &Damage{Block: block}
	version := 0
	if db.QueryRow(ctx, sqlDamage, uint32(space), uint32(node)).Scan(&d.OID, &d.Schema, &d.Table, &d.Part, &d.Index, &version) != nil {
		return err // it is told as PostgreSQL does
	}
	d.Readable = d.OID == rel.OID && d.Part != "values" && version >= 140000 && rel.inFile()
	p := problemOf(err, "")
	p.Damage = d
	switch {
	case d.Part == "values":
		p.Hint = "The page holds values that are too long for their row. A query that leaves out the columns with long values reads the rows."
	case d.OID != rel.OID:
		p.Hint = "Its rows are part of what is shown here."
	case !d.Readable:
		p.Hint = "Sort the other way round, or filter, to see what lies behind it. PostgreSQL 14 and later can read around it."
	case d.Part == "index":
		p.Hint = "The rows themselves may be whole: they can be read without the index, in the order of the table's file."
	default:
		p.Hint = "The rows in this block cannot be read. All others can, in the order of the table's file."
	}
	return p
}

// inFile says whether the rows all lie in one file of the relation's own.
func (r *relation) inFile() bool {
	return (r.relkind == "r" || r.relkind == "m" || r.relkind == "t") && r.Paging != pagingOffset
}

// readAround prepares reading around damaged blocks.
func (q *rowQuery) readAround(ctx context.Context, db querier) error {
	if len(q.order) > 0 {
		return badRequest("rows that are read around damaged blocks come in the order of the file and in no other")
	}
	version := 0
	err := db.QueryRow(ctx, "select coalesce(pg_catalog.pg_relation_filepath($1), ''), pg_catalog.current_setting('server_version_num')::int", q.rel.OID).Scan(&q.file, &version)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if !q.rel.inFile() || q.file == "" || version < 140000 {
		return problem(http.StatusUnprocessableEntity, "not-supported", "damaged blocks can be read around in tables and materialized views, by PostgreSQL 14 and later")
	}
	q.around = true
	return nil
}

// aroundDamage has read go through the file behind a place, piece by piece. A piece
// ends before the block `before`, or with the file when that is negative. read
// returns the place that it has come to, which after an error is where reading
// begins anew; full ends it. most bounds the damaged blocks; where more are
// found, next is the place to go on behind.
func (q *rowQuery) aroundDamage(after string, most int, read func(after string, before int64) (last string, full bool, err error)) (damaged []int64, next string, err error) {
	before := int64(-1)
	for {
		last, full, err := read(after, before)
		block, path, is := damagedBlock(err)
		switch {
		case full, err == nil && before < 0:
			return damaged, "", nil
		case err == nil: // up to the block: on behind it
			after, before = placeBehind(before), -1
			if len(damaged) >= most {
				return damaged, after, nil
			}
		case !is || path != q.file || (before >= 0 && block >= before):
			return damaged, "", err
		default:
			// Blocks are read ahead and checked some at a time: rows before this one may not have come yet.
			after, before = last, block
			if !slices.Contains(damaged, block) {
				damaged = append(damaged, block)
			}
		}
	}
}

// placeBehind is one before the first row behind a block; rows count from 1.
func placeBehind(block int64) string { return fmt.Sprintf("(%d,0)", block+1) }

// beginning is the place before the first row.
const beginning = "(0,0)"

// between are the conditions of a piece of the file.
func between(after string, before int64) []string {
	out := []string{"ctid > " + quoteText(after) + "::pg_catalog.tid"}
	if before >= 0 {
		out = append(out, fmt.Sprintf("ctid < '(%d,0)'::pg_catalog.tid", before))
	}
	return out
}
