package web

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"
)

// The statements on the catalogue, one file each. They name every function
// and table with its schema, since a backup may hold others of the same name.
var (
	//go:embed sql/databases.sql
	sqlDatabases string
	//go:embed sql/schemas.sql
	sqlSchemas string
	//go:embed sql/relations.sql
	sqlRelations string
	//go:embed sql/relation_count.sql
	sqlRelationCount string
	//go:embed sql/completion.sql
	sqlCompletion string
)

type database struct {
	Name        string `json:"name"`
	OID         uint32 `json:"oid"`
	Owner       string `json:"owner"`
	Encoding    string `json:"encoding"`
	Collation   string `json:"collation,omitempty"`
	Template    bool   `json:"template"`
	Connectable bool   `json:"connectable"`
	Comment     string `json:"comment,omitempty"`
	Bytes       *int64 `json:"bytes,omitempty"`
}

type schema struct {
	Name      string `json:"name"`
	OID       uint32 `json:"oid"`
	Owner     string `json:"owner"`
	System    bool   `json:"system"`
	Relations int    `json:"relations"`
	Comment   string `json:"comment,omitempty"`
}

type relationSummary struct {
	OID           uint32 `json:"oid"`
	Schema        string `json:"schema"`
	Name          string `json:"name"`
	Kind          string `json:"kind"`
	EstimatedRows int64  `json:"estimatedRows"`
	Bytes         int64  `json:"bytes"`
	Comment       string `json:"comment,omitempty"`
	Parent        uint32 `json:"parent,omitempty"`
	RowSecurity   bool   `json:"rowSecurity,omitempty"`
	Unlogged      bool   `json:"unlogged,omitempty"`
	Pages         int64  `json:"-"`
}

type relationPage struct {
	Items []relationSummary `json:"items"`
	Next  string            `json:"next,omitempty"`
	Total *int              `json:"total,omitempty"`
}

// collect runs a statement and returns its rows as structs, by position.
func collect[T any](ctx context.Context, db querier, sql string, args ...any) ([]T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	return notNil(list), err
}

// A querier is a pool or a connection of it.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

var _ querier = (*pgxpool.Pool)(nil)

func (s *Server) listDatabases(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	sizes, err := boolParam(c, "sizes")
	if err != nil {
		return err
	}
	pool, err := s.pools.get(session, maintenanceDatabase(session))
	if err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	list, err := collect[database](ctx, pool, sqlDatabases, sizes)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items[database]{Items: list})
}

// maintenanceDatabase is where to ask about the cluster as a whole.
func maintenanceDatabase(session Session) string {
	if d := session.Info().DefaultDatabase; d != "" {
		return d
	}
	return "postgres"
}

func (s *Server) listSchemas(c echo.Context) error {
	_, pool, err := s.database(c)
	if err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	list, err := collect[schema](ctx, pool, sqlSchemas)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items[schema]{Items: list})
}

// relationCursor is where a page of relations ends; it travels as base64 of
// JSON and is only ever compared with.
type relationCursor struct {
	Schema string `json:"s,omitempty"`
	Name   string `json:"n,omitempty"`
	Pages  int64  `json:"p,omitempty"`
	OID    uint32 `json:"o,omitempty"`
}

func (s *Server) listRelations(c echo.Context) error {
	_, pool, err := s.database(c)
	if err != nil {
		return err
	}
	limit, err := intParam(c, "limit", 500, 1, 10000)
	if err != nil {
		return err
	}
	system, err := boolParam(c, "system")
	if err != nil {
		return err
	}
	kinds := c.QueryParams()["kind"]
	filter := []any{c.QueryParam("q"), c.QueryParam("schema"), notNil(kinds), system}
	bySize := c.QueryParam("sort") == "size"
	var after *relationCursor
	if v := c.QueryParam("cursor"); v != "" {
		after = new(relationCursor)
		if err := decodeCursor(v, after); err != nil {
			return err
		}
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	page := relationPage{}
	sql, args := relationsSQL(filter, bySize, after, limit+1)
	if page.Items, err = collect[relationSummary](ctx, pool, sql, args...); err != nil {
		return err
	}
	if after == nil {
		var total int
		if err := pool.QueryRow(ctx, sqlRelationCount, filter...).Scan(&total); err != nil {
			return err
		}
		page.Total = &total
	}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		last := page.Items[limit-1]
		next := relationCursor{Schema: last.Schema, Name: last.Name}
		if bySize {
			next = relationCursor{Pages: last.Pages, OID: last.OID}
		}
		page.Next = encodeCursor(next)
	}
	if err := measure(ctx, pool, page.Items); err != nil {
		s.log.Debug("the sizes of new relations are not known", "error", err) // the list is of use without
	}
	if bySize && after == nil && page.Next == "" { // all of them: those that were measured find their place
		slices.SortStableFunc(page.Items, func(a, b relationSummary) int { return cmp.Compare(b.Bytes, a.Bytes) })
	}
	return c.JSON(http.StatusOK, page)
}

// relationPages is what relations are put in order by: known to the catalogue.
const relationPages = "(c.relpages + coalesce(t.relpages, 0))"

// measured is up to how many relations that the catalogue knows no size of are
// looked for on disk.
const measured = 200

// measure asks the files of relations that nobody has vacuumed or analyzed,
// of which the catalogue does not know that they hold anything.
func measure(ctx context.Context, db querier, list []relationSummary) error {
	place := make(map[uint32]int)
	var oids []uint32
	for i, r := range list {
		if r.Pages == 0 && r.Kind != "view" && r.Kind != "partitioned-table" && r.Kind != "foreign-table" && len(oids) < measured {
			place[r.OID] = i
			oids = append(oids, r.OID)
		}
	}
	if len(oids) == 0 {
		return nil
	}
	type size struct {
		OID   uint32
		Bytes int64
	}
	sizes, err := collect[size](ctx, db, "select o, coalesce(pg_catalog.pg_table_size(o), 0) from pg_catalog.unnest($1::pg_catalog.oid[]) o", oids)
	for _, s := range sizes {
		list[place[s.OID]].Bytes = s.Bytes
	}
	return err
}

// relationsSQL fills in the two places of relations.sql that differ.
func relationsSQL(filter []any, bySize bool, after *relationCursor, limit int) (string, []any) {
	args := append([]any{}, filter...)
	where, order, final := "", " order by n.nspname, c.relname", " order by p.nspname, p.relname"
	if bySize {
		order, final = " order by "+relationPages+" desc, c.oid", " order by p.pages desc, p.oid"
	}
	if after != nil {
		if bySize {
			where = " and (" + relationPages + " < $5::int8 or (" + relationPages + " = $5::int8 and c.oid > $6::oid))"
			args = append(args, after.Pages, after.OID)
		} else {
			where = " and (n.nspname, c.relname) > ($5::text::name, $6::text::name)"
			args = append(args, after.Schema, after.Name)
		}
	}
	order += " limit " + strconv.Itoa(limit)
	return strings.NewReplacer("/*after*/", where, "/*order*/", order).Replace(sqlRelations) + final, args
}

func encodeCursor(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // cursors are plain structs
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeCursor(text string, into any) error {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return badRequest("the cursor is not one of ours")
	}
	return nil
}

type completion struct {
	SearchPath []string             `json:"searchPath"`
	Schemas    []string             `json:"schemas"`
	Relations  []completionRelation `json:"relations"`
	Truncated  bool                 `json:"truncated"`
}

type completionRelation struct {
	Schema  string   `json:"schema"`
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	Columns []string `json:"columns"`
	Types   []string `json:"types"` // of the columns
}

func (s *Server) getCompletion(c echo.Context) error {
	_, pool, err := s.database(c)
	if err != nil {
		return err
	}
	limit, err := intParam(c, "limit", 2000, 1, 10000)
	if err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	var out completion
	if out.Relations, err = collect[completionRelation](ctx, pool, sqlCompletion, limit, c.QueryParam("q")); err != nil {
		return err
	}
	if len(out.Relations) > limit {
		out.Relations, out.Truncated = out.Relations[:limit], true
	}
	err = pool.QueryRow(ctx, `select pg_catalog.current_schemas(false)::text[],
		array(select nspname::text from pg_catalog.pg_namespace where nspname !~ '^pg_(toast|temp)' order by nspname ~ '^(pg_catalog|information_schema)$', 1)`).
		Scan(&out.SearchPath, &out.Schemas)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

// intParam reads a number of the query string within its bounds.
func intParam(c echo.Context, name string, otherwise, least, most int) (int, error) {
	v := c.QueryParam(name)
	if v == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		return 0, badRequest(name + " must be a number from " + strconv.Itoa(least) + " to " + strconv.Itoa(most))
	}
	return n, nil
}

func boolParam(c echo.Context, name string) (bool, error) {
	v := c.QueryParam(name)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, badRequest(name + " must be true or false")
	}
	return b, nil
}
