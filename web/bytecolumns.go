package web

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

//go:embed sql/byte_columns.sql
var sqlByteColumns string

// maxByteColumns is how many columns a list has at most.
const maxByteColumns = 1000

// A byteColumn holds files, or other bytes, in the rows of a relation.
type byteColumn struct {
	OID    uint32 `json:"oid"`
	Schema string `json:"schema"`
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Number int    `json:"number"`
	Column string `json:"column"`
	// EstimatedValues is how many rows have one, or -1 without statistics.
	EstimatedValues int64 `json:"estimatedValues"`
	// LongBytes is what the long values (TOAST) of all columns of the relation take.
	LongBytes int64 `json:"longBytes"`
}

func (s *Server) listByteColumns(c echo.Context) error {
	_, pool, err := s.database(c)
	if err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	list, err := collect[byteColumn](ctx, pool, sqlByteColumns, maxByteColumns+1)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"items": list[:min(len(list), maxByteColumns)], "truncated": len(list) > maxByteColumns})
}
