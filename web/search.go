package web

import (
	_ "embed"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

//go:embed sql/search.sql
var sqlSearch string

// A finding is anything of a database that has a name.
type finding struct {
	Kind     string `json:"kind"` // a relation's, or index, column, schema, function, type, extension, role
	OID      uint32 `json:"oid"`  // of an index or a column: the relation's
	Schema   string `json:"schema,omitempty"`
	Relation string `json:"relation,omitempty"` // that an index or a column belongs to
	Name     string `json:"name"`
}

// searchDatabase looks for a text in every name of a database.
func (s *Server) searchDatabase(c echo.Context) error {
	_, pool, err := s.database(c)
	if err != nil {
		return err
	}
	q := strings.ToLower(strings.TrimSpace(c.QueryParam("q")))
	switch {
	case q == "":
		return badRequest("q, what is looked for, is empty")
	case len(q) > 300 || strings.ContainsRune(q, 0):
		return badRequest("q is no part of a name")
	}
	limit, err := intParam(c, "limit", 20, 1, 100)
	if err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	list, err := collect[finding](ctx, pool, sqlSearch, q, limit)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items[finding]{Items: list})
}
