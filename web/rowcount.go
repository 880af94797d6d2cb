package web

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

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
