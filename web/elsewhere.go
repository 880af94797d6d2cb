package web

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
)

// Of a relation that is not found PostgreSQL says only that. In a backup that a
// stranger looks into it is there most often: in a schema that the reader's
// search_path does not name, for that is a setting of the application's role,
// or under a name with capitals.

// elsewhereSQL finds relations by their name, whatever its case, the exact ones
// first.
const elsewhereSQL = `select format('%I.%I', n.nspname, c.relname), c.relname = $1
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where lower(c.relname) = lower($1) and c.relkind in ('r', 'p', 'v', 'm', 'f')
  and n.nspname not in ('pg_toast', 'pg_catalog', 'information_schema')
order by 2 desc, 1 limit 4`

// lookElsewhere gives the hint to an error about a relation that is not there
// (42P01, undefined_table), if there is one by its name. The connection's
// transaction has failed and is rolled back. What cannot be found out in a
// second is not said.
func lookElsewhere(ctx context.Context, conn *pgconn.PgConn, sql string, err error) {
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "42P01" || e.Hint != "" {
		return
	}
	name := relationAt(sql, int(e.Position))
	if name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := conn.Exec(ctx, "rollback").ReadAll(); err != nil {
		return
	}
	found := conn.ExecParams(ctx, elsewhereSQL, [][]byte{[]byte(name)}, nil, nil, nil).Read()
	if found.Err != nil || len(found.Rows) == 0 {
		return
	}
	names := make([]string, len(found.Rows))
	for i, row := range found.Rows {
		names[i] = string(row[0])
	}
	e.Hint = "Did you mean " + strings.Join(names, " or ") + "?"
	if string(found.Rows[0][1]) == "t" { // the name as it was written
		e.Hint += " What is in no schema of the search_path is written with its schema."
	} else {
		e.Hint += " Without quotes a name is read in lower case, in quotes as it is written."
	}
}

// relationAt returns the last part of the name, with a schema or without, at a
// position of a statement (characters from 1), as PostgreSQL reads it: in lower
// case unless it is quoted. It is empty when there is no name.
func relationAt(sql string, position int) string {
	for ; position > 1 && sql != ""; position-- {
		_, size := utf8.DecodeRuneInString(sql)
		sql = sql[size:]
	}
	if position < 1 {
		return ""
	}
	for {
		var part string
		part, sql = identifier(sql)
		rest, dotted := strings.CutPrefix(strings.TrimLeftFunc(sql, unicode.IsSpace), ".")
		if part == "" || !dotted {
			return part
		}
		sql = strings.TrimLeftFunc(rest, unicode.IsSpace)
	}
}

// identifier cuts one off the beginning of a statement.
func identifier(sql string) (name, rest string) {
	if !strings.HasPrefix(sql, `"`) {
		end := strings.IndexFunc(sql, func(r rune) bool {
			return r != '_' && r != '$' && r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r)
		})
		if end < 0 {
			end = len(sql)
		}
		return strings.ToLower(sql[:end]), sql[end:]
	}
	var b strings.Builder
	for rest = sql[1:]; ; {
		part, after, closed := strings.Cut(rest, `"`)
		b.WriteString(part)
		if !closed || !strings.HasPrefix(after, `"`) {
			return b.String(), after
		}
		b.WriteByte('"') // doubled, it stands for itself
		rest = after[1:]
	}
}
