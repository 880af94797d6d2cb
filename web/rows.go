package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// A page ends early when it is so long, however few rows it has; the cursor
// goes on from there.
const pageBytes = 8 << 20

// maxCursor is the longest cursor; it travels in an address.
const maxCursor = 32 << 10

// scanParams make scans come in the order of the file.
var scanParams = map[string]string{"synchronize_seqscans": "off", "max_parallel_workers_per_gather": "0"}

// keyOf returns the key of a row as text: a JSON array of the key's values, or
// the ctid.
func (r *relation) keyOf(values [][]byte) *string {
	var key string
	switch r.Paging {
	case pagingKey:
		list := make([]string, len(values))
		for i, v := range values {
			list[i] = validText(string(v))
		}
		b, err := json.Marshal(list)
		if err != nil {
			return nil
		}
		key = string(b)
	case pagingCTID:
		key = string(values[0])
	case pagingOffset:
		return nil
	}
	return &key
}

// keyCondition is the opposite of keyOf.
func (r *relation) keyCondition(key string) (string, error) {
	literals, err := r.keyLiterals(key)
	if err != nil {
		return "", err
	}
	if r.Paging == pagingCTID {
		return "ctid = " + literals[0], nil
	}
	var parts []string
	for i, k := range r.key {
		parts = append(parts, quoteName(k.Name)+" = "+literals[i])
	}
	return strings.Join(parts, " AND "), nil
}

// keyLiterals are the values of a key for SQL.
func (r *relation) keyLiterals(key string) ([]string, error) {
	switch {
	case r.Paging == pagingOffset:
		return nil, problem(http.StatusUnprocessableEntity, "not-supported", "the rows of this relation have no key").
			withHint("select the value with a query")
	case strings.ContainsRune(key, 0):
		return nil, badRequest("the key is not one of ours")
	case r.Paging == pagingCTID:
		return []string{quoteText(key) + "::pg_catalog.tid"}, nil
	}
	var values []string
	if err := json.Unmarshal([]byte(key), &values); err != nil || len(values) != len(r.key) {
		return nil, badRequest("the key is not one of this relation")
	}
	var literals []string
	for i, k := range r.key {
		if strings.ContainsRune(values[i], 0) {
			return nil, badRequest("the key is not one of this relation")
		}
		literals = append(literals, quoteText(values[i])+"::"+k.Type)
	}
	return literals, nil
}

// keysCondition chooses the rows with these keys. A list of a single column's
// values, or of places, is one that an index, or a scan by place, answers.
func (r *relation) keysCondition(keys []string) (string, error) {
	var literals, left []string
	for _, k := range r.key {
		left = append(left, quoteName(k.Name))
	}
	if r.Paging == pagingCTID {
		left = []string{"ctid"}
	}
	for _, key := range keys {
		list, err := r.keyLiterals(key)
		if err != nil {
			return "", err
		}
		literal := strings.Join(list, ", ")
		if len(list) > 1 {
			literal = "(" + literal + ")"
		}
		literals = append(literals, literal)
	}
	if len(left) > 1 {
		return "(" + strings.Join(left, ", ") + ") IN (VALUES " + strings.Join(literals, ", ") + ")", nil
	}
	return left[0] + " IN (" + strings.Join(literals, ", ") + ")", nil
}

// rowQuery reads the parameters that listRows, countRows and getCell share.
func (s *Server) rowQuery(c echo.Context) (Session, *rowQuery, error) {
	session, pool, err := s.database(c)
	if err != nil {
		return nil, nil, err
	}
	oid, err := oidParam(c)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	rel, err := loadRelation(ctx, pool, oid)
	if err != nil {
		return nil, nil, err
	}
	q := &rowQuery{rel: rel, key: c.QueryParam("key")}
	if q.filters, err = rel.parseFilters(c.QueryParams()["filter"]); err != nil {
		return nil, nil, err
	}
	return session, q, nil
}

// timeoutParam reads timeoutSeconds of the query string.
func (s *Server) timeoutParam(c echo.Context) (time.Duration, error) {
	v := c.QueryParam("timeoutSeconds")
	if v == "" {
		return s.opts.StatementTimeout, nil
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || math.IsNaN(f) || f <= 0 {
		return 0, badRequest("timeoutSeconds is not a number above 0")
	}
	return s.timeout(f)
}

// through runs a statement of ours that reads a relation through the gate,
// like a user's: a view may call any function of the backup.
func (s *Server) through(c echo.Context, session Session, sql string, row func(g *gate, values [][]byte) (more bool, err error), formats ...int16) error {
	return s.throughWith(c, session, scanParams, sql, row, formats...)
}

// throughWith does it with these settings of the connection.
func (s *Server) throughWith(c echo.Context, session Session, params map[string]string, sql string, row func(g *gate, values [][]byte) (more bool, err error), formats ...int16) (err error) {
	timeout, err := s.timeoutParam(c)
	if err != nil {
		return err
	}
	ctx, run, ended, err := s.begin(c, session, "", "rows", param(c, "db"), sql, timeout)
	if err != nil {
		return err
	}
	defer func() { ended(err) }()
	return s.gateRows(ctx, session, param(c, "db"), params, sql, run, row, formats...)
}

// errLastRow is of a row that was used, and after which no other is wanted.
var errLastRow = errors.New("the last row")

// lastRow is what the function of a row returns that it has used as the last.
func lastRow(err error) (more bool, _ error) {
	if err == nil {
		err = errLastRow
	}
	return false, err
}

func (s *Server) gateRows(ctx context.Context, session Session, database string, params map[string]string, sql string, run *running, row func(g *gate, values [][]byte) (bool, error), formats ...int16) error {
	g, err := s.openGate(ctx, session, database, sql, params, nil)
	if err != nil {
		return err
	}
	defer g.close()
	rr := g.run(ctx, formats...)
	for rr.NextRow() {
		more, err := row(g, rr.Values())
		if errors.Is(err, errLastRow) {
			run.rows.Add(1)
			return nil
		}
		if err != nil || !more {
			return err
		}
		run.rows.Add(1)
	}
	_, err = g.finish(ctx, rr)
	return err
}

func (s *Server) listRows(c echo.Context) error {
	started := time.Now()
	session, q, err := s.rowQuery(c)
	if err != nil {
		return err
	}
	if q.limit, err = intParam(c, "limit", 200, 1, 5000); err != nil {
		return err
	}
	if q.cut, err = intParam(c, "cut", 2048, 16, 65536); err != nil {
		return err
	}
	if q.order, err = q.rel.parseOrder(c.QueryParams()["order"]); err != nil {
		return err
	}
	if err := s.aroundParam(c, q); err != nil {
		return err
	}
	if v := c.QueryParam("cursor"); v != "" {
		q.after = new(rowCursor)
		if err := decodeCursor(v, q.after); err != nil {
			return err
		}
	}
	_, layout, err := q.sql()
	if err != nil {
		return err
	}
	page, before := newRowPage(q, layout), session.Info().Stats.BackupBytesRead
	if len(q.rel.Columns) > 0 {
		if err := s.fill(c, session, page); err != nil {
			return s.damage(c, q.rel, err)
		}
	}
	page.read = readSince(session, before)
	body, err := page.finish(started)
	if err != nil {
		return err
	}
	return c.JSONBlob(http.StatusOK, body)
}

// fill reads the rows of a page.
func (s *Server) fill(c echo.Context, session Session, page *rowPage) error {
	q := page.q
	add := func(_ *gate, values [][]byte) (bool, error) { return page.add(values), nil }
	if !q.around {
		sql, _, err := q.sql()
		if err != nil {
			return err
		}
		return s.through(c, session, sql, add)
	}
	after := beginning
	if q.after != nil {
		if len(q.after.Values) != 1 || q.after.Values[0] == nil {
			return badRequest("the cursor does not fit the order")
		}
		after = *q.after.Values[0]
	}
	damaged, next, err := q.aroundDamage(after, mostDamaged, func(after string, before int64) (string, bool, error) {
		sql, _, err := q.sql(between(after, before)...)
		if err != nil {
			return after, false, err
		}
		known := len(page.keys)
		err = s.throughWith(c, session, aroundParams, sql, add)
		if len(page.keys) > known {
			after = string(page.terms[0])
		}
		return after, page.more, err
	})
	page.damaged = damaged
	if next != "" {
		page.more, page.terms[0] = true, []byte(next)
	}
	return err
}

// damage has an error of reading rows tell what is damaged, if that is why.
func (s *Server) damage(c echo.Context, rel *relation, err error) error {
	if _, pool, poolErr := s.database(c); poolErr == nil {
		ctx, cancel := catalogContext(c)
		defer cancel()
		return withDamage(ctx, pool, rel, err)
	}
	return err
}

// aroundParam has a request read around damaged blocks, if it asks for that.
func (s *Server) aroundParam(c echo.Context, q *rowQuery) error {
	want, err := boolParam(c, "skipDamaged")
	if err != nil || !want {
		return err
	}
	_, pool, err := s.database(c)
	if err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	return q.readAround(ctx, pool)
}

// A rowPage gathers the answer of listRows.
type rowPage struct {
	q      *rowQuery
	layout rowLayout
	rows   []byte // elements of a JSON array
	keys   []*string
	terms  [][]byte // of the last row
	more   bool
	read   int64 // from the backup, meanwhile

	damaged []int64 // blocks that were left out
}

func newRowPage(q *rowQuery, layout rowLayout) *rowPage {
	return &rowPage{q: q, layout: layout, keys: []*string{}, terms: make([][]byte, len(layout.terms))}
}

// add takes a row and says whether it wants another.
func (p *rowPage) add(values [][]byte) bool {
	if len(p.keys) == p.q.limit || len(p.rows) > pageBytes {
		p.more = true
		return false
	}
	if len(p.keys) > 0 {
		p.rows = append(p.rows, ',')
	}
	p.rows = append(p.rows, '[')
	for i, place := range p.layout.cells {
		if i > 0 {
			p.rows = append(p.rows, ',')
		}
		p.rows = place.appendTo(p.rows, values)
	}
	p.rows = append(p.rows, ']')
	key := make([][]byte, len(p.layout.key))
	for i, n := range p.layout.key {
		key[i] = values[n]
	}
	p.keys = append(p.keys, p.q.rel.keyOf(key))
	for i, n := range p.layout.terms {
		if values[n] == nil {
			p.terms[i] = nil
		} else {
			p.terms[i] = append(p.terms[i][:0:0], values[n]...)
			if p.terms[i] == nil {
				p.terms[i] = []byte{} // an empty text is not NULL
			}
		}
	}
	return true
}

func (p cellPlace) appendTo(dst []byte, values [][]byte) []byte {
	v := values[p.value]
	if v == nil {
		return append(dst, "null"...)
	}
	if !p.packed {
		return appendString(dst, v)
	}
	head, v, _ := bytes.Cut(v, []byte{':'})
	if length, err := strconv.ParseInt(string(head), 10, 64); err == nil {
		shown := int64(len(v))
		if p.bytea {
			shown = (shown - 2) / 2 // \x and two digits each
		}
		// Characters were counted for the cut, bytes for the length: a text
		// of many wide characters may be whole after all.
		if shown < length {
			return appendCut(dst, v, length)
		}
	}
	return appendString(dst, v)
}

func (p *rowPage) finish(started time.Time) ([]byte, error) {
	out := struct {
		Columns       []column        `json:"columns"`
		Rows          json.RawMessage `json:"rows"`
		Keys          []*string       `json:"keys"`
		Paging        paging          `json:"paging"`
		Next          string          `json:"next,omitempty"`
		EstimatedRows int64           `json:"estimatedRows"`
		Millis        float64         `json:"ms"`
		Read          int64           `json:"backupBytesRead,omitempty"`
		SQL           string          `json:"sql"`
		Damaged       []int64         `json:"damagedBlocks,omitempty"`
	}{Read: p.read, Damaged: p.damaged, Columns: p.q.rel.Columns, Rows: append(append([]byte{'['}, p.rows...), ']'), Keys: p.keys, Paging: p.q.rel.Paging, EstimatedRows: p.q.rel.EstimatedRows}
	var err error
	if out.SQL, err = p.q.plainSQL(); err != nil {
		return nil, err
	}
	if p.more {
		if out.Next, err = p.next(); err != nil {
			return nil, err
		}
	}
	out.Millis = millis(time.Since(started))
	return json.Marshal(out)
}

func (p *rowPage) next() (string, error) {
	cursor := rowCursor{}
	if p.q.rel.Paging == pagingOffset {
		cursor.Offset = int64(len(p.keys))
		if p.q.after != nil {
			cursor.Offset += max(p.q.after.Offset, 0)
		}
		return encodeCursor(cursor), nil
	}
	for _, v := range p.terms {
		if v == nil {
			cursor.Values = append(cursor.Values, nil)
			continue
		}
		text := string(v)
		cursor.Values = append(cursor.Values, &text)
	}
	next := encodeCursor(cursor)
	if len(next) > maxCursor {
		return "", problem(http.StatusUnprocessableEntity, "too-large", "the values that the rows are ordered by are too long to go on from").
			withHint("order by a shorter column, or use a query")
	}
	return next, nil
}

func (s *Server) countRows(c echo.Context) error {
	started := time.Now()
	session, q, err := s.rowQuery(c)
	if err != nil {
		return err
	}
	where, err := q.conditions()
	if err != nil {
		return err
	}
	if err := s.aroundParam(c, q); err != nil {
		return err
	}
	var n int64
	before := session.Info().Stats.BackupBytesRead
	count := func(params map[string]string, where []string) error {
		return s.throughWith(c, session, params, "SELECT count(*) FROM "+q.rel.from()+whereClause(where), func(_ *gate, values [][]byte) (bool, error) {
			some, err := strconv.ParseInt(string(values[0]), 10, 64)
			n += some
			return true, err
		})
	}
	var damaged []int64
	if q.around {
		damaged, _, err = q.aroundDamage(beginning, math.MaxInt, func(after string, before int64) (string, bool, error) {
			return after, false, count(aroundParams, append(slices.Clone(where), between(after, before)...))
		})
	} else {
		err = count(scanParams, where)
	}
	if err != nil {
		return s.damage(c, q.rel, err)
	}
	out := map[string]any{"rows": n, "ms": millis(time.Since(started)), "backupBytesRead": readSince(session, before)}
	if len(damaged) > 0 {
		out["damagedBlocks"] = damaged
	}
	return c.JSON(http.StatusOK, out)
}

// readSince returns how many bytes were read from the backup since it was
// before, by whatever ran in the session.
func readSince(session Session, before int64) int64 {
	return max(session.Info().Stats.BackupBytesRead-before, 0)
}
