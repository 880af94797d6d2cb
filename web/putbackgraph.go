package web

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A putBackGraph is the tables that a put-back touches and the foreign keys
// between them. For each table it knows which rows: those that were asked for,
// and those that foreign keys lead to from there.
type putBackGraph struct {
	ctx   context.Context
	db    querier
	nodes []*putBackNode // as they were found
	notes []string
}

type putBackNode struct {
	rel     *relation
	where   []string // conditions, any of which chooses a row
	parents []putBackEdge
}

// A putBackEdge is a foreign key of the node that it belongs to.
type putBackEdge struct {
	parent        *putBackNode
	columns       []int32 // of the node's table
	parentColumns []int32
}

// node returns the table's node, loading it when it is new.
func (g *putBackGraph) node(oid uint32) (n *putBackNode, isNew bool, err error) {
	for _, n := range g.nodes {
		if n.rel.OID == oid {
			return n, false, nil
		}
	}
	if len(g.nodes) == maxPutBackTables {
		return nil, false, badRequest(fmt.Sprintf("foreign keys lead to more than %d tables", maxPutBackTables)).
			withHint("put the rows back without what they refer to, or without what refers to them")
	}
	rel, err := loadRelation(g.ctx, g.db, oid)
	if err != nil {
		return nil, false, err
	}
	if err := rel.loadDetails(g.ctx, g.db); err != nil {
		return nil, false, err
	}
	n = &putBackNode{rel: rel}
	g.nodes = append(g.nodes, n)
	return n, true, nil
}

// collect chooses the rows of a table that where describes, then those that refer
// to them (children), then those that all of these refer to (parents).
func (g *putBackGraph) collect(root *relation, where string, parents, children bool) error {
	n, _, err := g.node(root.OID)
	if err != nil {
		return err
	}
	n.where = []string{where}
	if n.rel.relkind == "r" { // a table shows the rows of those that inherit from it as its own
		for _, p := range n.rel.Partitions {
			heir, _, err := g.node(p.OID)
			if err != nil {
				return err
			}
			heir.where = []string{where}
		}
	}
	if children {
		if err := g.chooseChildren(); err != nil {
			return err
		}
	}
	return g.chooseParents(parents)
}

// chooseChildren follows the foreign keys that point to the tables found so far,
// down to the last.
func (g *putBackGraph) chooseChildren() error {
	for i := 0; i < len(g.nodes); i++ { // grows on the way
		n := g.nodes[i]
		for _, k := range n.rel.ReferencedBy {
			child, _, err := g.node(k.OID)
			if err != nil {
				return err
			}
			child.parents = append(child.parents, putBackEdge{n, k.OtherColumns, k.Columns})
		}
	}
	for _, ring := range g.parentsFirst() {
		for _, child := range ring {
			for _, k := range child.parents {
				if slices.Contains(ring, k.parent) || len(k.parent.where) == 0 {
					continue
				}
				if err := child.choose(refersTo(child.rel, k.columns, k.parent.rel, k.parentColumns, disjunction(k.parent.where))); err != nil {
					return err
				}
			}
		}
		if err := ring.close(down); err != nil {
			return err
		}
	}
	return nil
}

// chooseParents finds what the tables found so far refer to, among them only or,
// if follow is set, up to the last, and then chooses the rows that chosen rows
// refer to.
func (g *putBackGraph) chooseParents(follow bool) error {
	for i := 0; i < len(g.nodes); i++ { // grows on the way
		n := g.nodes[i]
		n.parents = nil
		for _, k := range n.rel.References {
			if !follow && !slices.ContainsFunc(g.nodes, func(p *putBackNode) bool { return p.rel.OID == k.OID }) {
				continue
			}
			parent, _, err := g.node(k.OID)
			if err != nil {
				return err
			}
			n.parents = append(n.parents, putBackEdge{parent, k.Columns, k.OtherColumns})
		}
	}
	if !follow {
		return nil
	}
	for _, ring := range slices.Backward(g.parentsFirst()) {
		if err := ring.close(up); err != nil {
			return err
		}
		for _, n := range ring {
			for _, k := range n.parents {
				if slices.Contains(ring, k.parent) || len(n.where) == 0 {
					continue
				}
				if err := k.parent.choose(refersTo(k.parent.rel, k.parentColumns, n.rel, k.columns, disjunction(n.where))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// choose adds rows to those of the table that are put back.
func (n *putBackNode) choose(where string) error {
	n.where = append(n.where, where)
	if len(disjunction(n.where)) > maxStatement/4 {
		return badRequest("the foreign keys make a query too long").
			withHint("put the rows back without what they refer to, or without what refers to them")
	}
	return nil
}

// tables are the queries, in an order in which each row finds what it refers to.
func (g *putBackGraph) tables() (tables []putBackTable) {
	for group, ring := range g.parentsFirst() {
		for _, n := range ring {
			if len(n.where) == 0 {
				continue // no foreign key leads to rows of it
			}
			var columns []string
			for _, c := range n.rel.Columns {
				if !c.Generated { // an INSERT may not give it a value
					columns = append(columns, quoteName(c.Name))
				}
			}
			if len(columns) == 0 {
				g.notes = append(g.notes, n.rel.from()+" has no column that takes a value: it is left out")
				continue
			}
			t := putBackTable{rel: n.rel, columns: columns, group: group}
			t.sql = "SELECT " + strings.Join(columns, ", ") + " FROM " + n.rel.only() + " WHERE " + disjunction(n.where)
			if ring.cyclic() || t.needsFilter() {
				t.stage = fmt.Sprintf("pg_temp.snapview_%d", len(tables)+1)
			}
			tables = append(tables, t)
		}
	}
	return tables
}

func disjunction(where []string) string {
	if len(where) == 1 {
		return where[0]
	}
	return "(" + strings.Join(where, ")\n OR (") + ")"
}

// refersTo chooses the rows of table whose columns are found in those of other's
// rows.
func refersTo(table *relation, columns []int32, other *relation, otherColumns []int32, where string) string {
	return "(" + table.names("", columns) + ") IN (SELECT " + other.names("", otherColumns) + " FROM " + other.only() + " WHERE " + where + ")"
}

// names lists columns by their numbers, quoted.
func (r *relation) names(prefix string, numbers []int32) string {
	list := make([]string, len(numbers))
	for i, n := range numbers {
		if c := r.column(int(n)); c != nil {
			list[i] = prefix + quoteName(c.Name)
		}
	}
	return strings.Join(list, ", ")
}
