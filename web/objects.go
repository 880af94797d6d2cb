package web

import (
	"embed"
	"errors"
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"
)

// objectSQL has a statement for each kind of object: $1 what the name must
// hold, $2 whether the system's own are listed too, $3 the OID of the only one
// wanted, or 0. All give the columns of an object.
//
//go:embed sql/objects_*.sql
var objectSQL embed.FS

// objectKinds are what a database, or the cluster, has besides relations.
var objectKinds = []string{"function", "type", "extension", "role", "tablespace"}

// An object is something that a database has and that is no relation.
type object struct {
	OID        uint32   `json:"oid"`
	Schema     string   `json:"schema,omitempty"`
	Name       string   `json:"name"`
	Kind       string   `json:"kind"` // function, procedure, aggregate, window, enum, domain, composite, range, extension ...
	Detail     string   `json:"detail,omitempty"`
	Owner      string   `json:"owner,omitempty"`
	Comment    string   `json:"comment,omitempty"`
	Attributes []string `json:"attributes,omitempty"`
	Definition string   `json:"definition,omitempty"`
}

const maxObjects = 5000

func (s *Server) listObjects(c echo.Context) error {
	_, pool, err := s.database(c)
	if err != nil {
		return err
	}
	sql, err := objectStatement(c.QueryParam("kind"))
	if err != nil {
		return err
	}
	system, err := boolParam(c, "system")
	if err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	list, err := collect[object](ctx, pool, sql, c.QueryParam("q"), system, uint32(0))
	if err != nil {
		return err
	}
	out := struct {
		Items     []object `json:"items"`
		Truncated bool     `json:"truncated"`
	}{Items: list}
	if len(list) > maxObjects {
		out.Items, out.Truncated = list[:maxObjects], true
	}
	for i := range out.Items {
		out.Items[i].Definition = "" // of one only
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) getObject(c echo.Context) error {
	_, pool, err := s.database(c)
	if err != nil {
		return err
	}
	sql, err := objectStatement(param(c, "kind"))
	if err != nil {
		return err
	}
	oid, err := oidParam(c)
	if err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	rows, err := pool.Query(ctx, sql, "", true, oid)
	if err != nil {
		return err
	}
	one, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[object])
	if errors.Is(err, pgx.ErrNoRows) {
		return problem(http.StatusNotFound, "not-found", "there is no such "+param(c, "kind"))
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, one)
}

func objectStatement(kind string) (string, error) {
	if !slices.Contains(objectKinds, kind) {
		return "", badRequest("kind must be function, type, extension, role or tablespace")
	}
	text, err := objectSQL.ReadFile("sql/objects_" + kind + ".sql")
	return string(text), err
}
