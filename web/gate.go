package web

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A gate holds one statement of a user that PostgreSQL has parsed and found to
// return columns, on a connection of its own, inside a transaction that can no
// longer be made writable. The package documentation says what that stops and
// what it does not.
type gate struct {
	conn    *pgconn.PgConn
	fields  []pgconn.FieldDescription
	sql     string
	ctx     context.Context //nolint:containedctx // of the one statement
	drained bool            // the statement came to its end: there is nothing to cancel
}

// statementName must be named, so that a second statement (the names of the
// columns' types) does not replace it. The user's statement cannot name it: it
// does not exist yet when that is parsed.
const statementName = "snapview_statement"

// openGate connects as the reader, begins, prepares and refuses. params are
// settings of the connection. Errors are Problems or map to one by problemOf.
// close must be called on a gate.
func (s *Server) openGate(ctx context.Context, session Session, database, sql string, params map[string]string, notice func(*pgconn.Notice)) (*gate, error) {
	if strings.ContainsRune(sql, 0) {
		return nil, badRequest("the statement holds a zero byte, which ends a message to PostgreSQL")
	}
	dsn, err := session.DSN(database)
	if err != nil {
		return nil, err
	}
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		// The error would show the password.
		return nil, fmt.Errorf("the session's connection string for database %q cannot be parsed", database)
	}
	setUp(config)
	maps.Copy(config.RuntimeParams, params)
	config.MaxProtocolMessageBodyLen = s.opts.MaxValueBytes
	if notice != nil {
		config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notice(n) }
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, because(ctx, err)
	}
	g := &gate{conn: conn, sql: sql, ctx: ctx, drained: true}
	if err := g.prepare(ctx); err != nil {
		lookElsewhere(ctx, conn, sql, err)
		g.close()
		return nil, because(ctx, err)
	}
	return g, nil
}

func (g *gate) prepare(ctx context.Context) error {
	// The SELECT takes the transaction's snapshot; from then on PostgreSQL
	// refuses SET TRANSACTION READ WRITE and its like (25001). This text is
	// ours: it is the only one that goes by the simple protocol.
	if _, err := g.conn.Exec(ctx, "begin transaction isolation level repeatable read read only; select 1").ReadAll(); err != nil {
		return err
	}
	described, err := g.conn.Prepare(ctx, statementName, g.sql, nil)
	if err != nil {
		return err
	}
	if len(described.Fields) == 0 {
		return problem(http.StatusUnprocessableEntity, "not-a-query", "The statement returns no columns; only statements that return rows are run here.").
			withHint("SELECT, TABLE, VALUES, WITH, SHOW and EXPLAIN do. To change data, open the backup with --writable and use psql.")
	}
	if n := len(described.ParamOIDs); n > 0 {
		return problem(http.StatusUnprocessableEntity, "sql-error", "The statement has parameters (up to $"+strconv.Itoa(n)+"), and nothing gives them values.").
			withHint("Write the values into the statement: a program would send them beside it.")
	}
	g.fields = described.Fields
	return nil
}

// run executes the statement, with every value as text unless formats say
// otherwise (1 is binary; one for each column, or one for all).
func (g *gate) run(ctx context.Context, formats ...int16) *pgconn.ResultReader {
	g.drained = false
	return g.conn.ExecPrepared(ctx, statementName, nil, nil, formats)
}

// resultColumn describes a column of a result.
type resultColumn struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	TypeOID  uint32 `json:"typeOID"`
	Relation uint32 `json:"relation,omitempty"`
	Number   int    `json:"number,omitempty"`

	modifier int32 // of the type, as pg_attribute.atttypmod; -1 without one
}

// columns asks PostgreSQL for the names of the types. It must be called before
// run.
func (g *gate) columns(ctx context.Context) ([]resultColumn, error) {
	var oids, mods []string
	for _, f := range g.fields {
		oids = append(oids, strconv.FormatUint(uint64(f.DataTypeOID), 10))
		mods = append(mods, strconv.Itoa(int(f.TypeModifier)))
	}
	result := g.conn.ExecParams(ctx, `select pg_catalog.format_type(x.o, x.m)
		from rows from (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.int4[])) with ordinality as x(o, m, i) order by x.i`,
		[][]byte{[]byte("{" + strings.Join(oids, ",") + "}"), []byte("{" + strings.Join(mods, ",") + "}")}, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, because(ctx, result.Err)
	}
	if len(result.Rows) != len(g.fields) {
		return nil, fmt.Errorf("PostgreSQL named %d types of %d columns", len(result.Rows), len(g.fields))
	}
	columns := make([]resultColumn, len(g.fields))
	for i, f := range g.fields {
		columns[i] = resultColumn{
			Name: validText(f.Name), Type: string(result.Rows[i][0]), TypeOID: f.DataTypeOID,
			Relation: f.TableOID, Number: int(f.TableAttributeNumber), modifier: f.TypeModifier,
		}
	}
	return columns, nil
}

// finish reads the end of a statement whose rows were all read.
func (g *gate) finish(ctx context.Context, rr *pgconn.ResultReader) (pgconn.CommandTag, error) {
	tag, err := rr.Close()
	if err != nil {
		return tag, because(ctx, err)
	}
	g.drained = true
	if status := g.conn.TxStatus(); status != 'T' {
		// Nothing known does this. The rows were read by then; what matters
		// is that the connection is not used again, and that it is seen.
		return tag, fmt.Errorf("the statement left the read-only transaction (status %q)", status)
	}
	return tag, nil
}

// close cancels a statement that still runs and closes the connection: no
// statement finds what another left behind.
func (g *gate) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if !g.drained && !g.conn.IsClosed() {
		// Fails only if the server is gone, and the statement with it.
		_ = g.conn.CancelRequest(ctx)
	}
	_ = g.conn.Close(ctx)
}

// because returns why a context ended, if it did, in place of the error that
// came of it.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
