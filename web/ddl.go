package web

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

var (
	//go:embed sql/sequence.sql
	sqlSequence string
	//go:embed sql/ddl_table.sql
	sqlDDLTable string
	//go:embed sql/ddl_columns.sql
	sqlDDLColumns string
	//go:embed sql/ddl_after.sql
	sqlDDLAfter string
)

// quoteName quotes a name for SQL, always.
func quoteName(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// quoteText quotes a text for SQL. A backslash makes it the E” form, which
// means the same whatever standard_conforming_strings is.
func quoteText(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(q, `\`) {
		return "E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// A definition is what the statements that make a relation say besides what
// the API tells of it piece by piece.
type definition struct {
	of        string // the composite type of a typed table
	method    string // table access method, quoted, unless it is heap
	options   string // storage parameters, those of the TOAST table too
	populated bool   // a materialized view that has been filled
	columns   map[int]columnDefinition
	after     [4]string // statements, by lot (ddl_after.sql)
}

type columnDefinition struct {
	Number   int
	Local    bool // not only inherited
	Collate  string
	Virtual  bool // computed when it is read
	Options  string
	Sequence string // of an identity column, when it is not the usual one
}

// loadDDL returns the statements that make a relation like this one, in an
// order in which they run once those are there that it depends on. A database
// as a whole is pg_dump's.
func (r *relation) loadDDL(ctx context.Context, db querier) (string, error) {
	var d definition
	if err := db.QueryRow(ctx, sqlDDLTable, r.OID).Scan(&d.of, &d.method, &d.options, &d.populated); err != nil {
		return "", err
	}
	columns, err := collect[columnDefinition](ctx, db, sqlDDLColumns, r.OID)
	if err != nil {
		return "", err
	}
	d.columns = make(map[int]columnDefinition, len(columns))
	for _, c := range columns {
		d.columns[c.Number] = c
	}
	after, err := collect[struct {
		Lot int
		SQL string
	}](ctx, db, sqlDDLAfter, r.OID)
	if err != nil {
		return "", err
	}
	for _, s := range after {
		d.after[s.Lot] += s.SQL + ";\n"
	}
	if r.relkind != "S" {
		return r.ddl(&d), nil
	}
	var create, owned string
	if err := db.QueryRow(ctx, sqlSequence, r.OID).Scan(&create, &owned); err != nil {
		return "", err
	}
	// Its owner comes first: that of a sequence that belongs to a column is the table's.
	return create + d.after[2] + owned + d.after[3], nil
}

func (r *relation) ddl(d *definition) string {
	name := quoteName(r.Schema, r.Name)
	var b strings.Builder
	switch r.relkind {
	case "v", "m":
		r.viewDDL(&b, name, d)
	case "r", "p", "f":
		r.tableDDL(&b, name, d)
	default:
		return ""
	}
	b.WriteString(d.after[1])
	for _, x := range r.Indexes {
		if !x.OfConstraint {
			b.WriteString(x.Definition + ";\n")
		}
	}
	// Behind the indexes: those that the table above has too become parts of its
	// own, which would otherwise be made a second time.
	if r.inherits != "" && r.PartitionBound != "" {
		fmt.Fprintf(&b, "ALTER TABLE %s ATTACH PARTITION %s %s;\n", r.inherits, name, r.PartitionBound)
	}
	b.WriteString(d.after[2] + d.after[3])
	return b.String()
}

func (r *relation) viewDDL(b *strings.Builder, name string, d *definition) {
	with := ""
	if d.options != "" {
		with = " WITH (" + d.options + ")"
	}
	query := strings.TrimRight(r.Definition, "\n")
	if r.relkind == "v" {
		fmt.Fprintf(b, "CREATE VIEW %s%s AS\n%s\n", name, with, query)
		return
	}
	if d.method != "" {
		name += " USING " + d.method
	}
	if r.Tablespace != "" {
		with += " TABLESPACE " + quoteName(r.Tablespace)
	}
	if !d.populated {
		query = strings.TrimSuffix(query, ";") + "\nWITH NO DATA;"
	}
	fmt.Fprintf(b, "CREATE MATERIALIZED VIEW %s%s AS\n%s\n", name, with, query)
}

func (r *relation) tableDDL(b *strings.Builder, name string, d *definition) {
	kind := ""
	switch {
	case r.relkind == "f":
		kind = "FOREIGN "
	case r.Unlogged:
		kind = "UNLOGGED "
	}
	child := r.inherits != "" && r.PartitionBound == ""
	fmt.Fprintf(b, "CREATE %sTABLE %s", kind, name)
	if d.of != "" {
		b.WriteString(" OF " + d.of)
	}
	var lines, later []string
	for _, c := range r.Columns {
		switch extra := d.columns[c.Number]; {
		case child && !extra.Local: // comes with the table above
		case d.of != "":
			if more := c.constraints(extra); more != "" {
				lines = append(lines, "  "+quoteName(c.Name)+" WITH OPTIONS"+more)
			}
		default:
			lines = append(lines, "  "+quoteName(c.Name)+" "+c.Type+extra.Options+extra.Collate+c.constraints(extra))
		}
	}
	for _, k := range r.Constraints {
		switch {
		case k.Kind == "not-null" || k.Kind == "trigger": // stands with the column; follows the table
		case child && !k.Local:
		case strings.HasSuffix(k.Definition, " NOT VALID"): // which CREATE TABLE takes for valid
			later = append(later, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s;\n", name, quoteName(k.Name), k.Definition))
		default:
			lines = append(lines, "  CONSTRAINT "+quoteName(k.Name)+" "+k.Definition)
		}
	}
	switch {
	case len(lines) > 0:
		b.WriteString(" (\n" + strings.Join(lines, ",\n") + "\n)")
	case d.of == "":
		b.WriteString(" (\n)")
	}
	if child {
		b.WriteString(" INHERITS (" + r.inherits + ")")
	}
	b.WriteString(r.foreign)
	if r.PartitionKey != "" {
		b.WriteString(" PARTITION BY " + r.PartitionKey)
	}
	if d.method != "" {
		b.WriteString(" USING " + d.method)
	}
	if d.options != "" {
		b.WriteString(" WITH (" + d.options + ")")
	}
	if r.Tablespace != "" {
		b.WriteString(" TABLESPACE " + quoteName(r.Tablespace))
	}
	b.WriteString(";\n" + strings.Join(later, ""))
}

// constraints are what stands behind a column's type.
func (c *column) constraints(d columnDefinition) string {
	s := ""
	switch {
	case c.Identity == "always":
		s += " GENERATED ALWAYS AS IDENTITY" + d.Sequence
	case c.Identity == "by-default":
		s += " GENERATED BY DEFAULT AS IDENTITY" + d.Sequence
	case c.Generated && d.Virtual:
		s += " GENERATED ALWAYS AS (" + c.Default + ") VIRTUAL"
	case c.Generated:
		s += " GENERATED ALWAYS AS (" + c.Default + ") STORED"
	case c.Default != "":
		s += " DEFAULT " + c.Default
	}
	if c.NotNull {
		s += " NOT NULL"
	}
	return s
}
