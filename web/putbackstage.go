package web

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
)

// Rows that no order of INSERTs puts back are first inserted into a temporary
// table, and from there all at once: foreign keys are checked at the end of a
// statement, and rows that are there already can be told by more than a key.

// uniques are the primary key and the unique constraints, and whether one of them
// can be deferred: then the table takes no ON CONFLICT.
func (t *putBackTable) uniques() (list []constraint, deferrable bool) {
	for _, k := range t.rel.Constraints {
		if k.Kind != "primary-key" && k.Kind != "unique" && k.Kind != "exclusion" {
			continue
		}
		deferrable = deferrable || strings.Contains(k.Definition, " DEFERRABLE") && !strings.Contains(k.Definition, "NOT DEFERRABLE")
		if k.Kind != "exclusion" {
			list = append(list, k)
		}
	}
	return list, deferrable
}

// needsFilter tells whether ON CONFLICT does not tell which rows are there.
func (t *putBackTable) needsFilter() bool {
	_, deferrable := t.uniques()
	return deferrable || t.rel.uniqueKey() == nil
}

// createStage makes the temporary table, of the same types.
func (t *putBackTable) createStage() string {
	return "CREATE TEMPORARY TABLE " + strings.TrimPrefix(t.stage, "pg_temp.") + " ON COMMIT DROP AS SELECT " + strings.Join(t.columns, ", ") + " FROM " + t.rel.only() + " WITH NO DATA;\n"
}

// fromStage is the INSERT of what is staged and not there yet.
func (t *putBackTable) fromStage() string {
	columns := strings.Join(t.columns, ", ")
	overriding := ""
	if slices.ContainsFunc(t.rel.Columns, func(c column) bool { return c.Identity == "always" }) {
		overriding = " OVERRIDING SYSTEM VALUE"
	}
	sql := "INSERT INTO " + t.rel.from() + " (" + columns + ")" + overriding + "\n  SELECT " + columns + " FROM " + t.stage + " AS s"
	uniques, deferrable := t.uniques()
	switch {
	case deferrable && len(uniques) > 0:
		var there []string
		for _, k := range uniques {
			var same []string
			for _, n := range k.Columns {
				same = append(same, t.rel.names("o.", []int32{n})+" = "+t.rel.names("s.", []int32{n}))
			}
			there = append(there, "NOT EXISTS (SELECT FROM "+t.rel.from()+" AS o WHERE "+strings.Join(same, " AND ")+")")
		}
		sql += "\n  WHERE " + strings.Join(there, "\n    AND ")
	case t.rel.uniqueKey() == nil:
		// As many of a kind as are missing.
		row := func(alias string) string {
			return "ROW(" + alias + strings.Join(t.columns, ", "+alias) + ")::text"
		}
		sql += "\n  WHERE s.ctid IN (SELECT w.place FROM (SELECT m.ctid AS place, " + row("m.") + " AS value, row_number() OVER (PARTITION BY " + row("m.") + ") AS nth FROM " + t.stage + " AS m) AS w" +
			"\n    LEFT JOIN (SELECT " + row("o.") + " AS value, count(*) AS there FROM " + t.rel.only() + " AS o GROUP BY 1) AS h ON h.value = w.value WHERE w.nth > coalesce(h.there, 0))"
	}
	if !deferrable {
		sql += "\nON CONFLICT DO NOTHING"
	}
	return sql
}

// writeStaged inserts what is staged of tables that belong together, in one
// statement.
func writeStaged(out *bufio.Writer, tables []putBackTable) {
	var with []string
	for i, t := range tables[:len(tables)-1] {
		with = append(with, fmt.Sprintf("t%d AS (\n%s)", i+1, t.fromStage()))
	}
	fmt.Fprint(out, "\n")
	if len(with) > 0 {
		fmt.Fprintf(out, "WITH %s\n", strings.Join(with, ", "))
	}
	fmt.Fprintf(out, "%s;\n", tables[len(tables)-1].fromStage())
}
