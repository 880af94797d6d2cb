package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"
)

// facetCut is how many characters of a value a facet shows and tells apart.
const facetCut = 500

// facets are the values that a column has most often.
type facets struct {
	// Source is "statistics" for what ANALYZE had found when the backup was
	// made, which reads nothing of the table, and "exact" for a count.
	Source string  `json:"source"`
	Items  []facet `json:"items"`
	// Distinct is how many values there are, NULL not counted: an estimate
	// from the statistics; absent where they say nothing.
	Distinct  *float64 `json:"distinct,omitempty"`
	Truncated bool     `json:"truncated"`
	SQL       string   `json:"sql,omitempty"`
}

type facet struct {
	Value    *string `json:"value"`    // nil: NULL
	Rows     float64 `json:"rows"`     // estimated, if the source is statistics
	Fraction float64 `json:"fraction"` // of all rows
}

func (s *Server) listFacets(c echo.Context) error {
	session, q, err := s.rowQuery(c)
	if err != nil {
		return err
	}
	n, err := intParam(c, "column", 0, 1, 32767)
	if err != nil {
		return err
	}
	col := q.rel.column(n)
	if col == nil {
		return badRequest("column must be the number of one of the relation's")
	}
	limit, err := intParam(c, "limit", 20, 1, 1000)
	if err != nil {
		return err
	}
	exact, err := boolParam(c, "exact")
	if err != nil {
		return err
	}
	out := facets{Items: []facet{}}
	if exact || len(q.filters) > 0 {
		err = s.countFacets(c, session, q, col, limit, &out)
	} else {
		err = s.knownFacets(c, session, q.rel, col, limit, &out)
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

// countFacets reads the whole table, or what the filters leave of it.
func (s *Server) countFacets(c echo.Context, session Session, q *rowQuery, col *column, limit int, out *facets) error {
	where, err := q.conditions()
	if err != nil {
		return err
	}
	value := "left(" + quoteName(col.Name) + "::text, " + strconv.Itoa(facetCut) + ")"
	out.Source = "exact"
	out.SQL = "SELECT " + value + " AS value, count(*) AS rows, sum(count(*)) OVER () AS total FROM " + q.rel.from() + whereClause(where) +
		" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT " + strconv.Itoa(limit+1)
	var bad error
	err = s.through(c, session, out.SQL, func(_ *gate, values [][]byte) (bool, error) {
		if len(out.Items) == limit {
			out.Truncated = true
			return false, nil
		}
		rows, err := strconv.ParseFloat(string(values[1]), 64)
		total, err2 := strconv.ParseFloat(string(values[2]), 64)
		bad = errors.Join(bad, err, err2)
		out.Items = append(out.Items, facet{Value: textOrNull(values[0]), Rows: rows, Fraction: rows / total})
		return true, nil
	})
	return errors.Join(err, bad)
}

// knownFacets asks pg_stats.
func (s *Server) knownFacets(c echo.Context, session Session, rel *relation, col *column, limit int, out *facets) error {
	pool, err := s.pools.get(session, param(c, "db"))
	if err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	out.Source = "statistics"
	began := time.Now()
	err = readStatistics(ctx, pool, rel, col, limit, out)
	// They are of the catalogue, but hold values of rows.
	s.record(c, session.Info(), Statement{
		Time: began, Database: param(c, "db"), Kind: "rows", Rows: int64(len(out.Items)),
		SQL: "SELECT * FROM pg_catalog.pg_stats WHERE schemaname = " + quoteText(rel.Schema) + " AND tablename = " + quoteText(rel.Name) + " AND attname = " + quoteText(col.Name),
	}, err)
	return err
}

func readStatistics(ctx context.Context, db querier, rel *relation, col *column, limit int, out *facets) error {
	var values []*string
	var freqs []float64
	var nulls, distinct float64
	// Statistics of a whole inheritance tree come before the table's own.
	err := db.QueryRow(ctx, `select null_frac, n_distinct, coalesce(most_common_vals::text::text[], '{}'), coalesce(most_common_freqs::float8[], '{}')
		from pg_catalog.pg_stats where schemaname = $1 and tablename = $2 and attname = $3 order by inherited desc limit 1`,
		rel.Schema, rel.Name, col.Name).Scan(&nulls, &distinct, &values, &freqs)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // never analyzed, or a view
	}
	if err != nil {
		return err
	}
	rows := float64(max(rel.EstimatedRows, 0))
	add := func(v *string, fraction float64) {
		if len(out.Items) == limit {
			out.Truncated = true
			return
		}
		out.Items = append(out.Items, facet{Value: v, Rows: rows * fraction, Fraction: fraction})
	}
	placed := nulls == 0
	for i, v := range values {
		if i >= len(freqs) {
			break
		}
		if !placed && nulls >= freqs[i] {
			add(nil, nulls)
			placed = true
		}
		if v != nil {
			text := firstRunes(*v, facetCut)
			v = &text
		}
		add(v, freqs[i])
	}
	if !placed {
		add(nil, nulls)
	}
	// Negative: a share of the rows (pg_stats, n_distinct).
	if distinct < 0 {
		distinct *= -rows
	}
	out.Distinct = &distinct
	if float64(len(values)) < distinct {
		out.Truncated = true
	}
	return nil
}

func textOrNull(v []byte) *string {
	if v == nil {
		return nil
	}
	text := validText(string(v))
	return &text
}
