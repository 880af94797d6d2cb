package web

import (
	"fmt"
	"slices"
	"strings"
)

// A putBackRing is tables that refer to each other, directly or by way of others
// of them, or one table by itself.
type putBackRing []*putBackNode

// parentsFirst puts tables after those that they refer to, and puts those
// together between which there is no such order (Tarjan's strongly connected
// components).
func (g *putBackGraph) parentsFirst() (order []putBackRing) {
	type mark struct {
		index, low int
		open       bool
	}
	marks := map[*putBackNode]*mark{}
	var open []*putBackNode
	var visit func(n *putBackNode) *mark
	visit = func(n *putBackNode) *mark {
		m := &mark{len(marks), len(marks), true}
		marks[n] = m
		open = append(open, n)
		for _, k := range n.parents {
			if p := marks[k.parent]; p == nil {
				m.low = min(m.low, visit(k.parent).low)
			} else if p.open {
				m.low = min(m.low, p.index)
			}
		}
		if m.low == m.index {
			i := slices.Index(open, n)
			ring := putBackRing(slices.Clone(open[i:]))
			open = open[:i]
			for _, n := range ring {
				marks[n].open = false
			}
			order = append(order, ring)
		}
		return m
	}
	for _, n := range g.nodes {
		if marks[n] == nil {
			visit(n)
		}
	}
	return order
}

// cyclic tells whether some order of the rows breaks a foreign key, whatever the
// order of the tables.
func (r putBackRing) cyclic() bool {
	return len(r) > 1 || slices.ContainsFunc(r[0].parents, func(k putBackEdge) bool { return k.parent == r[0] })
}

// A direction along foreign keys: up to what rows refer to, or down to what
// refers to them.
type direction bool

const (
	up   direction = true
	down direction = false
)

// close adds to the chosen rows of a ring all that its foreign keys lead to from
// there, round and round until there are no more. Rows go by their places, so
// that each is visited once whatever the keys are.
func (r putBackRing) close(to direction) error {
	if !r.cyclic() {
		return nil
	}
	var seeds, steps []string
	for i, n := range r {
		if len(n.where) > 0 {
			seeds = append(seeds, fmt.Sprintf("SELECT %d, tableoid::int8, ctid::text FROM %s WHERE %s", i, n.rel.only(), disjunction(n.where)))
		}
		for _, k := range n.parents {
			j := slices.Index(r, k.parent)
			if j < 0 {
				continue
			}
			var on []string
			for c := range k.columns {
				on = append(on, n.rel.names("c.", k.columns[c:c+1])+" = "+k.parent.rel.names("p.", k.parentColumns[c:c+1]))
			}
			at, from, found := "c", i, j
			other := "p"
			if to == down {
				at, other, from, found = "p", "c", j, i
			}
			steps = append(steps, fmt.Sprintf("SELECT %d, %s.tableoid::int8, %s.ctid::text FROM %s AS c JOIN %s AS p ON %s WHERE r.n = %d AND %s.ctid = r.at::tid AND %s.tableoid::int8 = r.rel",
				found, other, other, n.rel.only(), k.parent.rel.only(), strings.Join(on, " AND "), from, at, at))
		}
	}
	if len(seeds) == 0 {
		return nil
	}
	reached := "WITH RECURSIVE r(n, rel, at) AS (" + strings.Join(seeds, "\nUNION ALL ") +
		"\nUNION SELECT x.n, x.rel, x.at FROM r CROSS JOIN LATERAL (" + strings.Join(steps, "\nUNION ALL ") + ") AS x(n, rel, at)) "
	for i, n := range r {
		n.where = nil
		where := fmt.Sprintf("ctid = ANY (ARRAY(%sSELECT at::tid FROM r WHERE n = %d))", reached, i)
		if n.rel.relkind == "p" { // places are those of its partitions
			where = fmt.Sprintf("(tableoid::int8, ctid::text) IN (%sSELECT rel, at FROM r WHERE n = %d)", reached, i)
		}
		if err := n.choose(where); err != nil {
			return err
		}
	}
	return nil
}

// only is the table without those that inherit from it: foreign keys do not see
// their rows, and they are put back into their own.
func (r *relation) only() string {
	if r.relkind == "r" && r.hasSubclass {
		return "ONLY " + r.from()
	}
	return r.from()
}
