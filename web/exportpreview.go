package web

import (
	"bufio"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// Bounds of a preview.
const (
	previewRows  = 5
	previewBytes = 32 << 10
	previewTime  = 20 * time.Second
)

// An exportPreview is how a file begins, made by the same code as the file.
type exportPreview struct {
	FileName string         `json:"fileName"`
	Text     string         `json:"text"` // of Parquet, its schema
	Cut      bool           `json:"cut,omitempty"`
	Rows     int64          `json:"rows"`
	Columns  []exportColumn `json:"columns"`
}

// An exportColumn is a column that can be chosen.
type exportColumn struct {
	Number int    `json:"number"` // as in ExportRequest.columns
	Name   string `json:"name"`
	Type   string `json:"type"`
}

// previewExport runs an export for its first rows, uncompressed.
func (s *Server) previewExport(c echo.Context) (err error) {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	var body exportRequest
	if err := readBody(c, &body); err != nil {
		return err
	}
	if body.Format == putBackFormat {
		return badRequest("put-back has no preview").withHint("download the script and read it: it changes nothing until it is run")
	}
	if body.Limit == 0 || body.Limit > previewRows {
		body.Limit = previewRows
	}
	catalog, done := catalogContext(c)
	defer done()
	plan, err := s.planExport(catalog, session, param(c, "db"), body)
	if err != nil {
		return err
	}
	p := plan.(*rowsExport) //nolint:forcetypeassert // every format but put-back
	ctx, run, ended, err := s.begin(c, session, p.ID, "preview", p.database, p.statement, min(previewTime, s.opts.StatementTimeout))
	if err != nil {
		return err
	}
	defer func() { ended(err) }()
	open, err := p.open(ctx, s, session)
	if err != nil {
		return err
	}
	defer open.close()
	rows := open.(*openRows) //nolint:forcetypeassert // rowsExport opens nothing else
	answer := exportPreview{FileName: p.name, Columns: rows.choices()}
	if p.Format == "parquet" {
		answer.Text = newParquetWriter(bufio.NewWriter(&shortText{}), &p.exportFile, rows.columns).schema.String() + "\n"
		return c.JSON(http.StatusOK, answer)
	}
	text := &shortText{}
	out := bufio.NewWriter(text)
	if err := rows.write(ctx, run, out); err != nil {
		if errors.Is(err, errDeadline) {
			return problem(http.StatusGatewayTimeout, "timeout", "the first rows take longer than "+previewTime.String()).
				withHint("there is no preview of it; the export itself has more time")
		}
		return problemOf(err, p.SQL)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	answer.Text, answer.Cut, answer.Rows = validText(string(text.kept)), text.cut, run.rows.Load()
	return c.JSON(http.StatusOK, answer)
}

// choices are the columns that an export could have.
func (o *openRows) choices() []exportColumn {
	list := []exportColumn{}
	if o.p.Relation == 0 {
		for i, c := range o.all {
			list = append(list, exportColumn{i + 1, c.Name, c.Type})
		}
		return list
	}
	for _, c := range o.p.rel.Columns {
		if o.p.takes(c) {
			list = append(list, exportColumn{c.Number, c.Name, c.Type})
		}
	}
	return list
}

// shortText keeps the beginning of what is written.
type shortText struct {
	kept []byte
	cut  bool
}

func (t *shortText) Write(p []byte) (int, error) {
	room := previewBytes - len(t.kept)
	if len(p) > room {
		t.cut = true
		t.kept = append(t.kept, p[:room]...)
	} else {
		t.kept = append(t.kept, p...)
	}
	return len(p), nil
}
