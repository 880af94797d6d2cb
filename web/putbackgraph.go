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
	name          string
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
			if child == n {
				g.note("%s refers to itself (%s): rows below the chosen ones are left out", n.rel.from(), k.Name)
				continue
			}
			child.parents = append(child.parents, putBackEdge{k.Name, n, k.OtherColumns, k.Columns})
		}
	}
	for _, child := range g.parentsFirst() {
		for _, k := range child.parents {
			cond := refersTo(child.rel, k.columns, k.parent.rel, k.parentColumns, disjunction(k.parent.where))
			if err := child.choose(cond); err != nil {
				return err
			}
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
			n.parents = append(n.parents, putBackEdge{k.Name, parent, k.Columns, k.OtherColumns})
		}
	}
	if !follow {
		return nil
	}
	for _, n := range slices.Backward(g.parentsFirst()) {
		for _, k := range n.parents {
			if k.parent == n {
				n.where = []string{ancestors(n.rel, k, disjunction(n.where))}
			}
		}
		for _, k := range n.parents {
			if k.parent == n {
				continue
			}
			cond := refersTo(k.parent.rel, k.parentColumns, n.rel, k.columns, disjunction(n.where))
			if err := k.parent.choose(cond); err != nil {
				return err
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

// parentsFirst puts tables after those that they refer to. A foreign key that
// closes a cycle is taken out, with a note.
func (g *putBackGraph) parentsFirst() (order []*putBackNode) {
	const visiting, visited = 1, 2
	state := map[*putBackNode]int{}
	var visit func(n *putBackNode)
	visit = func(n *putBackNode) {
		state[n] = visiting
		n.parents = slices.DeleteFunc(n.parents, func(k putBackEdge) bool {
			if k.parent == n || state[k.parent] == visited {
				return false
			}
			if state[k.parent] == visiting {
				g.note("%s and %s refer to each other, directly or by way of others: %s is not followed", n.rel.from(), k.parent.rel.from(), k.name)
				return true
			}
			visit(k.parent)
			return false
		})
		state[n] = visited
		order = append(order, n)
	}
	for _, n := range g.nodes {
		if state[n] == 0 {
			visit(n)
		}
	}
	return order
}

// tables are the queries, in an order in which each row finds what it refers to.
func (g *putBackGraph) tables() (tables []putBackTable) {
	for _, n := range g.parentsFirst() {
		if len(n.where) == 0 {
			continue // reached by keys that were taken out
		}
		var columns []string
		for _, c := range n.rel.Columns {
			if !c.Generated { // an INSERT may not give it a value
				columns = append(columns, quoteName(c.Name))
			}
		}
		tables = append(tables, putBackTable{n.rel, "SELECT " + strings.Join(columns, ", ") + " FROM " + n.rel.from() + " WHERE " + disjunction(n.where)})
	}
	return tables
}

func (g *putBackGraph) note(format string, args ...any) {
	if note := fmt.Sprintf(format, args...); !slices.Contains(g.notes, note) {
		g.notes = append(g.notes, note)
	}
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
	return "(" + table.names("", columns) + ") IN (SELECT " + other.names("", otherColumns) + " FROM " + other.from() + " WHERE " + where + ")"
}

// ancestors chooses rows and those that they refer to in the same table, up to
// the last.
func ancestors(rel *relation, k putBackEdge, where string) string {
	var keys, refs, join []string
	for i := range k.columns {
		keys, refs = append(keys, fmt.Sprintf("k%d", i)), append(refs, fmt.Sprintf("r%d", i))
		join = append(join, rel.names("p.", k.parentColumns[i:i+1])+" = up."+refs[i])
	}
	return "(" + rel.names("", k.parentColumns) + ") IN (WITH RECURSIVE up(" + strings.Join(append(slices.Clone(keys), refs...), ", ") +
		") AS (SELECT " + rel.names("", k.parentColumns) + ", " + rel.names("", k.columns) + " FROM " + rel.from() + " WHERE " + where +
		" UNION SELECT " + rel.names("p.", k.parentColumns) + ", " + rel.names("p.", k.columns) +
		" FROM " + rel.from() + " AS p JOIN up ON " + strings.Join(join, " AND ") + ") SELECT " + strings.Join(keys, ", ") + " FROM up)"
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
