package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// A page ends early when it is so long, however few rows it has; the cursor
// goes on from there.
const pageBytes = 8 << 20

// maxCursor is the longest cursor; it travels in an address.
const maxCursor = 32 << 10

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
