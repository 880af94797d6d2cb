package web

import (
	"context"
	_ "embed"
	"errors"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"
)

var (
	//go:embed sql/relation.sql
	sqlRelation string
	//go:embed sql/relation_oid.sql
	sqlRelationOID string
	//go:embed sql/columns.sql
	sqlColumns string
	//go:embed sql/indexes.sql
	sqlIndexes string
	//go:embed sql/constraints.sql
	sqlConstraints string
	//go:embed sql/foreign_keys.sql
	sqlForeignKeys string
	//go:embed sql/partitions.sql
	sqlPartitions string
	//go:embed sql/triggers.sql
	sqlTriggers string
)

// relation is everything that the API says about one relation.
type relation struct {
	OID            uint32        `json:"oid"`
	Schema         string        `json:"schema"`
	Name           string        `json:"name"`
	Kind           string        `json:"kind"`
	Owner          string        `json:"owner"`
	Comment        string        `json:"comment,omitempty"`
	Tablespace     string        `json:"tablespace,omitempty"`
	Parent         uint32        `json:"parent,omitempty"`
	ParentSchema   string        `json:"parentSchema,omitempty"`
	ParentName     string        `json:"parentName,omitempty"`
	PartitionKey   string        `json:"partitionKey,omitempty"`
	PartitionBound string        `json:"partitionBound,omitempty"`
	RowSecurity    bool          `json:"rowSecurity,omitempty"`
	Unlogged       bool          `json:"unlogged,omitempty"`
	EstimatedRows  int64         `json:"estimatedRows"`
	Bytes          int64         `json:"bytes"`
	Sizes          relationSizes `json:"sizes"`
	Paging         paging        `json:"paging"`
	Columns        []column      `json:"columns"`
	Indexes        []index       `json:"indexes"`
	Constraints    []constraint  `json:"constraints"`
	References     []foreignKey  `json:"references"`
	ReferencedBy   []foreignKey  `json:"referencedBy"`
	Partitions     []partition   `json:"partitions"`
	Triggers       []trigger     `json:"triggers,omitempty"`
	Definition     string        `json:"definition,omitempty"`
	DDL            string        `json:"ddl,omitempty"`

	relkind     string // pg_class.relkind
	hasSubclass bool
	inherits    string   // the tables that it is a partition or a child of, quoted
	foreign     string   // the server of a foreign table and what it is told, as SQL
	key         []column // what identifies a row, when Paging is by key
}

type relationSizes struct {
	Table   int64 `json:"table"`
	Indexes int64 `json:"indexes"`
	Toast   int64 `json:"toast"`
}

type column struct {
	Number    int    `json:"number"`
	Name      string `json:"name"`
	Type      string `json:"type"`
	TypeOID   uint32 `json:"typeOID"`
	NotNull   bool   `json:"notNull"`
	Default   string `json:"default,omitempty"`
	Identity  string `json:"identity,omitempty"`
	Generated bool   `json:"generated,omitempty"`
	Collation string `json:"collation,omitempty"`
	Comment   string `json:"comment,omitempty"`
	Key       int    `json:"key,omitempty"`

	BaseOID  uint32 `json:"-"` // the type under a domain
	BaseName string `json:"-"`
	BaseLen  int    `json:"-"` // pg_type.typlen: -1 for values of any length
	Compared string `json:"-"` // the type without length or precision, for literals
}

type index struct {
	OID        uint32  `json:"oid"`
	Name       string  `json:"name"`
	Method     string  `json:"method,omitempty"`
	Definition string  `json:"definition"`
	Unique     bool    `json:"unique"`
	Primary    bool    `json:"primary"`
	Valid      bool    `json:"valid"`
	Bytes      int64   `json:"bytes"`
	Columns    []int32 `json:"columns"`

	Plain         bool `json:"-"` // immediate, no predicate, no expressions
	Attributes    int  `json:"-"`
	KeyAttributes int  `json:"-"` // the rest are INCLUDEd
	OfConstraint  bool `json:"-"`
}

type constraint struct {
	Name       string  `json:"name"`
	Kind       string  `json:"kind"`
	Definition string  `json:"definition"`
	Columns    []int32 `json:"columns"`

	Local bool `json:"-"` // not only inherited
}

type foreignKey struct {
	Name         string  `json:"name"`
	Columns      []int32 `json:"columns"`
	OID          uint32  `json:"oid"`
	Schema       string  `json:"schema"`
	Relation     string  `json:"relation"`
	OtherColumns []int32 `json:"otherColumns"`
	OnDelete     string  `json:"onDelete,omitempty"`
	OnUpdate     string  `json:"onUpdate,omitempty"`
	Outward      bool    `json:"-"`
}

// A partition, or a child by inheritance, somewhere below a table.
type partition struct {
	relationSummary
	Bound string `json:"bound,omitempty"`
	Level int    `json:"level"`
}

type trigger struct {
	Name       string `json:"name"`
	Definition string `json:"definition"`
}

// paging is how the rows of a relation are told apart and put in order.
type paging string

const (
	// pagingKey: by a unique key without NULLs.
	pagingKey paging = "key"
	// pagingCTID: by the place in the file; the data does not change.
	pagingCTID paging = "ctid"
	// pagingOffset: by counting, for views and whatever has neither.
	pagingOffset paging = "offset"
)

func (s *Server) getRelation(c echo.Context) error {
	_, pool, err := s.database(c)
	if err != nil {
		return err
	}
	oid, err := oidParam(c)
	if err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	return describeRelation(ctx, c, pool, oid)
}

func (s *Server) getRelationByName(c echo.Context) error {
	_, pool, err := s.database(c)
	if err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	var oid uint32
	err = pool.QueryRow(ctx, sqlRelationOID, param(c, "schema"), param(c, "name")).Scan(&oid)
	if errors.Is(err, pgx.ErrNoRows) {
		return relationNotFound()
	}
	if err != nil {
		return err
	}
	return describeRelation(ctx, c, pool, oid)
}

func describeRelation(ctx context.Context, c echo.Context, db querier, oid uint32) error {
	r, err := loadRelation(ctx, db, oid)
	if err != nil {
		return err
	}
	if err := r.loadDetails(ctx, db); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, r)
}

func relationNotFound() *Problem {
	return problem(http.StatusNotFound, "relation-not-found", "the database has no such table, view or sequence")
}

func oidParam(c echo.Context) (uint32, error) {
	n, err := strconv.ParseUint(param(c, "oid"), 10, 32)
	if err != nil || n == 0 {
		return 0, badRequest("the relation's OID must be a number")
	}
	return uint32(n), nil
}

// loadRelation reads what paging needs: the relation, columns and indexes.
func loadRelation(ctx context.Context, db querier, oid uint32) (*relation, error) {
	r := &relation{}
	err := db.QueryRow(ctx, sqlRelation, oid).Scan(&r.OID, &r.Schema, &r.Name, &r.Kind, &r.Owner, &r.Comment, &r.Tablespace,
		&r.Parent, &r.PartitionKey, &r.PartitionBound, &r.RowSecurity, &r.Unlogged, &r.EstimatedRows,
		&r.Sizes.Table, &r.Sizes.Indexes, &r.Sizes.Toast, &r.Definition, &r.relkind, &r.hasSubclass, &r.ParentSchema, &r.ParentName, &r.inherits, &r.foreign)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, relationNotFound()
	}
	if err != nil {
		return nil, err
	}
	r.Bytes = r.Sizes.Table + r.Sizes.Indexes
	r.Sizes.Table -= r.Sizes.Toast // pg_table_size counts it in
	if r.Columns, err = collect[column](ctx, db, sqlColumns, oid); err != nil {
		return nil, err
	}
	if r.Indexes, err = collect[index](ctx, db, sqlIndexes, oid); err != nil {
		return nil, err
	}
	r.choosePaging()
	return r, nil
}

func (r *relation) loadDetails(ctx context.Context, db querier) (err error) {
	if r.Constraints, err = collect[constraint](ctx, db, sqlConstraints, r.OID); err != nil {
		return err
	}
	keys, err := collect[foreignKey](ctx, db, sqlForeignKeys, r.OID)
	if err != nil {
		return err
	}
	r.References, r.ReferencedBy = []foreignKey{}, []foreignKey{}
	for _, k := range keys {
		if k.Outward {
			r.References = append(r.References, k)
		} else {
			r.ReferencedBy = append(r.ReferencedBy, k)
		}
	}
	if r.Partitions, err = collect[partition](ctx, db, sqlPartitions, r.OID); err != nil {
		return err
	}
	if r.Triggers, err = collect[trigger](ctx, db, sqlTriggers, r.OID); err != nil {
		return err
	}
	r.DDL, err = r.loadDDL(ctx, db)
	return err
}

// choosePaging finds what identifies a row. A table with children by
// inheritance shows their rows too, which neither its key nor a ctid tells
// apart.
func (r *relation) choosePaging() {
	r.Paging = pagingOffset
	inherited := r.relkind == "r" && r.hasSubclass
	if inherited {
		return
	}
	if key := r.uniqueKey(); key != nil {
		r.Paging, r.key = pagingKey, key
		return
	}
	if r.relkind == "r" || r.relkind == "m" || r.relkind == "t" {
		r.Paging = pagingCTID
	}
}

// uniqueKey returns the columns of the primary key, or else of the shortest
// unique index whose columns are all NOT NULL.
func (r *relation) uniqueKey() []column {
	var best []column
	for _, x := range r.Indexes { // the primary key comes first
		if !x.Unique || !x.Valid || !x.Plain {
			continue
		}
		var key []column
		for _, n := range x.Columns[:min(x.KeyAttributes, len(x.Columns))] {
			if c := r.column(int(n)); c != nil && c.NotNull {
				key = append(key, *c)
			}
		}
		if len(key) != x.KeyAttributes || len(key) == 0 {
			continue
		}
		if x.Primary {
			return key
		}
		if best == nil || len(key) < len(best) {
			best = key
		}
	}
	return best
}

func (r *relation) column(number int) *column {
	for i := range r.Columns {
		if r.Columns[i].Number == number {
			return &r.Columns[i]
		}
	}
	return nil
}
