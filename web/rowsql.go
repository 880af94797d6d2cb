package web

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A rowQuery is a page of a relation's rows: it writes the statements for it,
// with values as quoted literals, so that what runs is what the page can show.
type rowQuery struct {
	rel     *relation
	filters []filter
	order   []orderTerm // asked for; the key is added by terms
	limit   int
	cut     int // characters
	after   *rowCursor
	key     string // only this row; empty: all
	around  bool   // by place, around damaged blocks of the file
	file    string // its path, with around
}

type filter struct {
	column *column
	op     string
	value  string
}

type orderTerm struct {
	expr    string // quoted
	sqlType string // that a literal is cast to
	notNull bool
	desc    bool
}

var byPlace = orderTerm{expr: "ctid", sqlType: "pg_catalog.tid", notNull: true}

// A rowCursor is where a page ends: the values of the order's terms in its
// last row (nil for NULL), or how many rows came before.
type rowCursor struct {
	Values []*string `json:"v,omitempty"`
	Offset int64     `json:"o,omitempty"`
}

var (
	filterForm = regexp.MustCompile(`(?s)^([0-9]{1,5})\.(eq|ne|lt|le|gt|ge|like|ilike|contains|null|notnull)(?:\.(.*))?$`)
	orderForm  = regexp.MustCompile(`^([0-9]{1,5})\.(asc|desc)$`)
)

func (r *relation) parseFilters(list []string) ([]filter, error) {
	var out []filter
	for _, text := range list {
		m := filterForm.FindStringSubmatch(text)
		if m == nil {
			return nil, badRequest("filter " + strconv.Quote(text) + " is not NUMBER.OPERATOR.VALUE")
		}
		n, _ := strconv.Atoi(m[1])
		c := r.column(n)
		if c == nil {
			return nil, badRequest("filter " + strconv.Quote(text) + ": there is no column " + m[1])
		}
		if strings.ContainsRune(m[3], 0) {
			return nil, badRequest("a filter's value holds a zero byte, which no value in PostgreSQL does")
		}
		out = append(out, filter{column: c, op: m[2], value: m[3]})
	}
	return out, nil
}

func (r *relation) parseOrder(list []string) ([]orderTerm, error) {
	var out []orderTerm
	for _, text := range list {
		m := orderForm.FindStringSubmatch(text)
		if m == nil {
			return nil, badRequest("order " + strconv.Quote(text) + " is not NUMBER.asc or NUMBER.desc")
		}
		n, _ := strconv.Atoi(m[1])
		c := r.column(n)
		if c == nil {
			return nil, badRequest("order " + strconv.Quote(text) + ": there is no column " + m[1])
		}
		term := orderTerm{expr: quoteName(c.Name), sqlType: c.Type, notNull: c.NotNull, desc: m[2] == "desc"}
		if noOrder[c.BaseOID] {
			term.expr, term.sqlType = term.expr+"::text", "text"
		}
		out = append(out, term)
	}
	return out, nil
}

func (r *relation) from() string { return quoteName(r.Schema, r.Name) }

// terms is the whole order: what was asked for, and then what tells rows
// apart, so that it is total.
func (q *rowQuery) terms() []orderTerm {
	terms := append([]orderTerm{}, q.order...)
	if q.around {
		return append(terms, byPlace)
	}
	switch q.rel.Paging {
	case pagingKey:
		for _, k := range q.rel.key {
			term := orderTerm{expr: quoteName(k.Name), sqlType: k.Type, notNull: true}
			if !hasTerm(terms, term.expr) {
				terms = append(terms, term)
			}
		}
	case pagingCTID:
		terms = append(terms, byPlace)
	case pagingOffset:
	}
	return terms
}

func hasTerm(terms []orderTerm, expr string) bool {
	for _, t := range terms {
		if t.expr == expr {
			return true
		}
	}
	return false
}

func (t orderTerm) literal(value string) string { return quoteText(value) + "::" + t.sqlType }

// conditions returns the WHERE clause's parts but for the cursor's.
func (q *rowQuery) conditions() ([]string, error) {
	var out []string
	for _, f := range q.filters {
		out = append(out, f.sql())
	}
	if q.key != "" {
		where, err := q.rel.keyCondition(q.key)
		if err != nil {
			return nil, err
		}
		out = append(out, where)
	}
	return out, nil
}

func (f filter) sql() string {
	name := quoteName(f.column.Name)
	literal := quoteText(f.value) + "::" + f.column.Compared
	if noOrder[f.column.BaseOID] {
		name += "::text"
		literal = quoteText(f.value)
	}
	// Some collations take different texts for the same, in which PostgreSQL
	// searches for no pattern: the bytes are what is looked at then.
	collate := ""
	if f.column.Collation != "" {
		collate = ` COLLATE "C"`
	}
	switch f.op {
	case "eq":
		return name + " = " + literal
	case "ne":
		return name + " IS DISTINCT FROM " + literal
	case "lt":
		return name + " < " + literal
	case "le":
		return name + " <= " + literal
	case "gt":
		return name + " > " + literal
	case "ge":
		return name + " >= " + literal
	case "like":
		return name + "::text" + collate + " LIKE " + quoteText(f.value)
	case "ilike":
		if collate != "" {
			return "lower(" + name + "::text)" + collate + " LIKE lower(" + quoteText(f.value) + ")"
		}
		return name + "::text ILIKE " + quoteText(f.value)
	case "contains":
		return "strpos(lower(" + name + "::text)" + collate + ", lower(" + quoteText(f.value) + ")) > 0"
	case "null":
		return name + " IS NULL"
	default: // filterForm lets nothing else through
		return name + " IS NOT NULL"
	}
}

// Types of values, by the OIDs that PostgreSQL fixes (pg_type.dat).
const (
	oidBool    = 16
	oidBytea   = 17
	oidInt8    = 20
	oidInt2    = 21
	oidInt4    = 23
	oidText    = 25
	oidOID     = 26
	oidJSON    = 114
	oidXML     = 142
	oidFloat4  = 700
	oidFloat8  = 701
	oidBpchar  = 1042
	oidVarchar = 1043
	oidNumeric = 1700
	oidJSONB   = 3802
)

// noOrder are types, and arrays of them, that are compared as text, since they
// have no order, and no equality either or one of another kind: boxes and
// circles are equal when they are as large. By the OIDs of pg_type.dat.
var noOrder = map[uint32]bool{
	oidJSON: true, 199: true, oidXML: true, 143: true,
	600: true, 601: true, 602: true, 603: true, 604: true, 628: true, 718: true, // point, lseg, path, box, polygon, line, circle
	1017: true, 1018: true, 1019: true, 1020: true, 1027: true, 629: true, 719: true,
	28: true, 29: true, 1033: true, 1011: true, 1012: true, 1034: true, // xid, cid, aclitem
	4072: true, 4073: true, 2970: true, 2949: true, 5038: true, 5039: true, // jsonpath, snapshots
}

// notCut are types of variable length whose values are always short enough, or
// whose cast to text differs from what they print.
var notCut = map[uint32]bool{
	oidBpchar: true, oidNumeric: true,
	869: true, 650: true, // inet, cidr
	1560: true, // bit
}

// cell returns the expression for a value. A value that may be long is packed:
// cut to n characters behind its length in bytes and a colon if it is cut, and
// behind a colon alone if it is whole. One expression for both, since a list of
// those has room for 1664 and a table for 1600 columns.
func (c *column) cell(n int) (value string, packed bool) {
	name := quoteName(c.Name)
	switch {
	case c.BaseLen != -1 || notCut[c.BaseOID]:
		return name, false
	case c.BaseOID == oidBytea:
		return fmt.Sprintf("CASE WHEN octet_length(%s) > %d THEN octet_length(%[1]s)::text ELSE '' END || ':' || substring(%[1]s from 1 for %[2]d)::text", name, n), true
	case c.BaseOID == oidText || c.BaseOID == oidVarchar:
		// Neither octet_length nor left reads all of a long value.
	default:
		name += "::text"
	}
	return fmt.Sprintf("CASE WHEN octet_length(%s) > %d THEN octet_length(%[1]s)::text || ':' || left(%[1]s, %[2]d) ELSE ':' || %[1]s END", name, n), true
}

// A rowLayout says where in a page's statement the cells, the key and the order's
// terms are.
type rowLayout struct {
	cells []cellPlace
	key   []int
	terms []int
}

type cellPlace struct {
	value  int
	packed bool
	bytea  bool
}

// sql returns the statement for a page with one row more than the limit; extra
// are more conditions.
func (q *rowQuery) sql(extra ...string) (string, rowLayout, error) {
	var list []string
	var layout rowLayout
	added := make(map[string]int)
	add := func(expr string) int {
		n, known := added[expr]
		if !known {
			n = len(list)
			list, added[expr] = append(list, expr), n
		}
		return n
	}
	for i := range q.rel.Columns {
		c := &q.rel.Columns[i]
		value, packed := c.cell(q.cut)
		layout.cells = append(layout.cells, cellPlace{add(value), packed, c.BaseOID == oidBytea})
	}
	switch q.rel.Paging {
	case pagingKey:
		for _, k := range q.rel.key {
			layout.key = append(layout.key, add(quoteName(k.Name)))
		}
	case pagingCTID:
		layout.key = append(layout.key, add("ctid"))
	case pagingOffset:
	}
	terms := q.terms()
	for _, t := range terms {
		layout.terms = append(layout.terms, add(t.expr))
	}
	where, err := q.conditions()
	if err != nil {
		return "", layout, err
	}
	where = append(where, extra...)
	if q.after != nil && q.rel.Paging != pagingOffset && !q.around {
		after, err := afterCondition(terms, q.after.Values)
		if err != nil {
			return "", layout, err
		}
		where = append(where, after)
	}
	sql := "SELECT " + strings.Join(list, ", ") + " FROM " + q.rel.from() + " AS t" + whereClause(where) + q.orderClause(terms, "t.") +
		" LIMIT " + strconv.Itoa(q.limit+1)
	if q.after != nil && q.rel.Paging == pagingOffset {
		sql += " OFFSET " + strconv.FormatInt(max(q.after.Offset, 0), 10)
	}
	return sql, layout, nil
}

// orderClause leaves out the order by ctid alone: a scan of the whole file is
// in that order by itself (synchronize_seqscans is off, and so are parallel
// scans), and sorting would read all of it for the first page. With a filter
// an index may be used, whose order is another.
//
// A scan of a range of places is in their order in any case.
//
// In ORDER BY a bare name means a column of the result before one of the
// table, and the result's may be cut: qualifier ("t.") makes it the table's.
func (q *rowQuery) orderClause(terms []orderTerm, qualifier string) string {
	if len(terms) == 0 || q.around || (q.rel.Paging == pagingCTID && len(q.order) == 0 && len(q.filters) == 0) {
		return ""
	}
	var list []string
	for _, t := range terms {
		dir := ""
		if t.desc {
			dir = " DESC"
		}
		list = append(list, qualifier+t.expr+dir)
	}
	return " ORDER BY " + strings.Join(list, ", ")
}

func whereClause(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(parts, " AND ")
}

// plainSQL is the statement as a person would write it, for the editor.
func (q *rowQuery) plainSQL() (string, error) {
	where, err := q.conditions()
	if err != nil {
		return "", err
	}
	terms := q.terms()
	if q.around || (q.rel.Paging == pagingCTID && len(q.order) == 0) {
		terms = nil
	}
	order := (&rowQuery{rel: q.rel, order: q.order, filters: q.filters}).orderClause(terms, "")
	return "SELECT * FROM " + q.rel.from() + whereClause(where) + order + " LIMIT " + strconv.Itoa(q.limit), nil
}

// afterCondition says that a row comes after the one whose terms have these
// values. NULLs are where PostgreSQL puts them: last going up, first going
// down.
func afterCondition(terms []orderTerm, values []*string) (string, error) {
	if len(terms) != len(values) || len(terms) == 0 {
		return "", badRequest("the cursor does not fit the order")
	}
	if sql, ok := rowComparison(terms, values); ok {
		return sql, nil
	}
	var branches, same []string
	for i, t := range terms {
		v := values[i]
		after := ""
		switch {
		case v == nil && t.desc:
			after = t.expr + " IS NOT NULL"
		case v == nil: // NULL is the last: nothing comes after it
		case t.desc:
			after = t.expr + " < " + t.literal(*v)
		case t.notNull:
			after = t.expr + " > " + t.literal(*v)
		default:
			after = "(" + t.expr + " > " + t.literal(*v) + " OR " + t.expr + " IS NULL)"
		}
		if after != "" {
			branches = append(branches, "("+strings.Join(append(append([]string{}, same...), after), " AND ")+")")
		}
		if v == nil {
			same = append(same, t.expr+" IS NULL")
		} else {
			same = append(same, t.expr+" = "+t.literal(*v))
		}
	}
	if len(branches) == 0 {
		return "false", nil
	}
	return "(" + strings.Join(branches, " OR ") + ")", nil
}

// rowComparison is the form that an index answers with one descent, for terms
// without NULLs that all go the same way.
func rowComparison(terms []orderTerm, values []*string) (string, bool) {
	var left, right []string
	for i, t := range terms {
		if !t.notNull || values[i] == nil || t.desc != terms[0].desc {
			return "", false
		}
		left, right = append(left, t.expr), append(right, t.literal(*values[i]))
	}
	op := " > "
	if terms[0].desc {
		op = " < "
	}
	if len(left) == 1 {
		return left[0] + op + right[0], true
	}
	return "(" + strings.Join(left, ", ") + ")" + op + "(" + strings.Join(right, ", ") + ")", true
}
