package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
)

// A frame is one line of a query's stream: see Frame in web/openapi.yaml.
type frame struct {
	Cols []struct {
		Name string `json:"name"`
	} `json:"cols"`
	Rows [][]json.RawMessage `json:"rows"`
	End  *struct {
		Rows      int64   `json:"rows"`
		Millis    float64 `json:"ms"`
		Truncated bool    `json:"truncated"`
		Error     *struct {
			Message  string `json:"message"`
			Detail   string `json:"detail"`
			Hint     string `json:"hint"`
			Position int    `json:"position"`
		} `json:"error"`
	} `json:"end"`
}

// maxTableRows is how many rows a table for people has: what is longer is for
// the other formats.
const maxTableRows = 100_000

// printTable runs a query and prints its rows in columns.
func (c *control) printTable(ctx context.Context, w io.Writer, path, sql string) error {
	body, err := c.open(ctx, http.MethodPost, path+"/query", map[string]any{"sql": sql, "maxRows": maxTableRows})
	if err != nil {
		return queryError{err}
	}
	defer body.Close()
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	frames := json.NewDecoder(bufio.NewReader(body))
	for {
		var f frame
		if err := frames.Decode(&f); err != nil {
			return fmt.Errorf("the answer ends in the middle: %w", err)
		}
		if f.Cols != nil {
			names := make([]string, len(f.Cols))
			for i, col := range f.Cols {
				names[i] = col.Name
			}
			fmt.Fprintln(tw, strings.Join(names, "\t"))
		}
		for _, row := range f.Rows {
			cells := make([]string, len(row))
			for i, cell := range row {
				cells[i] = cellText(cell)
			}
			fmt.Fprintln(tw, strings.Join(cells, "\t"))
		}
		if f.End == nil {
			continue
		}
		if e := f.End.Error; e != nil {
			return queryError{errors.New(sqlError(e.Message, e.Detail, e.Hint, e.Position, sql))}
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		if f.End.Truncated {
			fmt.Fprintf(w, "(the first %d rows; there are more: use --format csv for all)\n", f.End.Rows)
		}
		return nil
	}
}

// cellText prints a value in one line: NULL as nothing, as psql does.
func cellText(cell json.RawMessage) string {
	var text *string
	if json.Unmarshal(cell, &text) != nil || text == nil {
		// A long value comes as an object with its beginning.
		var long struct {
			Cut string `json:"cut"`
		}
		if json.Unmarshal(cell, &long) == nil && long.Cut != "" {
			return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(long.Cut) + "…"
		}
		return ""
	}
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(*text)
}

// sqlError prints PostgreSQL's answer with the place in the query, as psql does.
func sqlError(message, detail, hint string, position int, sql string) string {
	var b strings.Builder
	b.WriteString(message)
	if runes := []rune(sql); position > 0 && position <= len(runes)+1 {
		before := string(runes[:position-1])
		line := before[strings.LastIndexByte(before, '\n')+1:]
		after, _, _ := strings.Cut(string(runes[position-1:]), "\n")
		fmt.Fprintf(&b, "\nLINE %d: %s%s\n%*s", 1+strings.Count(before, "\n"), line, after, len("LINE 1: ")+len([]rune(line))+1, "^")
	}
	if detail != "" {
		b.WriteString("\nDETAIL: " + detail)
	}
	if hint != "" {
		b.WriteString("\nHINT: " + hint)
	}
	return b.String()
}
