package web

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

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

// readSince returns how many bytes were read from the backup since it was
// before, by whatever ran in the session.
func readSince(session Session, before int64) int64 {
	return max(session.Info().Stats.BackupBytesRead-before, 0)
}
