package structure

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// RunScript runs the statements of a file, up to the first that fails, which
// the error names by its line.
func RunScript(ctx context.Context, conn *pgx.Conn, sql string) error {
	_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Position > 0 {
		before := []rune(sql)
		before = before[:min(int(refused.Position)-1, len(before))]
		return fmt.Errorf("line %d: %s", 1+strings.Count(string(before), "\n"), message(refused))
	}
	if errors.As(err, &refused) {
		return errors.New(message(refused))
	}
	return err
}

// maxShown bounds what is told of an answer.
const maxShown = 200

// Assert runs a query, which has to return a row, and no false or null where
// its first column is a boolean. shown is the first row, for people.
func Assert(ctx context.Context, conn *pgx.Conn, sql string) (shown string, err error) {
	rows, err := conn.Query(ctx, sql, pgx.QueryResultFormats{pgx.TextFormatCode})
	if err != nil {
		return "", serverError(err)
	}
	defer rows.Close()
	count := 0
	var bad error
	for rows.Next() {
		values := rows.RawValues()
		count++
		if count == 1 {
			shown = show(values)
		}
		if len(values) > 0 && rows.FieldDescriptions()[0].DataTypeOID == boolOID && string(values[0]) != "t" && bad == nil {
			bad = fmt.Errorf("row %d is not true: %s", count, show(values))
		}
	}
	if err := rows.Err(); err != nil {
		return "", serverError(err)
	}
	if count == 0 {
		return "", errors.New("it returned no row")
	}
	return shown, bad
}

const boolOID = 16 // bool in pg_type.dat

// show is a row for people; its values are in PostgreSQL's text format.
func show(values [][]byte) string {
	var parts []string
	for _, v := range values {
		if v == nil {
			parts = append(parts, "null")
			continue
		}
		parts = append(parts, string(v))
	}
	text := []rune(strings.Join(parts, ", "))
	if len(text) > maxShown {
		return string(text[:maxShown]) + "..."
	}
	return string(text)
}

func serverError(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return errors.New(message(refused))
	}
	return err
}
