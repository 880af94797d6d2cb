package main

import (
	"context"
	"slices"
	"time"

	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/growth"
	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/web"
)

// span reads the two ends of what growth is asked for; until is nil for now.
func span(since, until string) (from cow.LayerID, to *cow.LayerID, err error) {
	if from, err = layerID(since); err != nil || until == "" {
		return from, nil, err
	}
	id, err := layerID(until)
	return from, &id, err
}

func (v *sessionView) Growth(ctx context.Context, since, until string) (web.Growth, error) {
	from, to, err := span(since, until)
	if err != nil {
		return web.Growth{}, err
	}
	report, err := v.Session.Growth(ctx, from, to)
	if err != nil {
		return web.Growth{}, layerError(err)
	}
	g := webGrowth(report)
	g.Since, g.Until = since, until
	return g, nil
}

func (v *sessionView) GrowthSteps(ctx context.Context, since, until string) ([]web.GrowthStep, error) {
	from, to, err := span(since, until)
	if err != nil {
		return nil, err
	}
	steps, err := v.Session.GrowthSteps(ctx, from, to)
	if err != nil {
		return nil, layerError(err)
	}
	list := make([]web.GrowthStep, len(steps))
	for i, s := range steps {
		list[i] = webGrowthStep(s)
	}
	return list, nil
}

func webGrowthStep(s session.GrowthStep) web.GrowthStep {
	const shown = 10
	g := webGrowth(s.Report)
	step := web.GrowthStep{
		Since: s.From.String(), Name: s.Name, At: s.At, Bytes: s.Report.Total, TotalBytes: s.Since,
		Causes: g.Causes, Relations: g.Relations[:min(len(g.Relations), shown)],
	}
	if !s.To.IsBase() {
		step.Until = s.To.String()
	}
	return step
}

// webGrowth shows a report in the words of the API.
func webGrowth(r growth.Report) web.Growth {
	g := web.Growth{
		At: time.Now(), TotalBytes: r.Total, Notes: r.Notes,
		Causes: []web.CauseGrowth{}, Relations: []web.RelationGrowth{}, Files: []web.FileGrowth{},
	}
	for _, c := range r.Causes {
		switch c.Cause {
		case growth.CauseFilesystem:
			g.MetadataBytes = c.Bytes
		case growth.CauseFreed:
			g.FreeBytes = c.Bytes
		}
		g.Causes = append(g.Causes, web.CauseGrowth{Cause: string(c.Cause), Bytes: c.Bytes})
	}
	for _, rel := range r.Relations {
		name := rel.Name
		if name == "" {
			name = growth.Relation{RelFileNode: rel.RelFileNode}.String()
		}
		g.Relations = append(g.Relations, web.RelationGrowth{
			Database: rel.Database, Schema: rel.Schema, Name: name, Table: rel.Table, Kind: relationKind(rel.Kind), Bytes: rel.Bytes,
			Cause: string(causeOfRelation(rel.Relation)),
		})
	}
	for _, f := range r.Files {
		if f.Cause == growth.CauseFilesystem || f.Cause == growth.CauseFreed {
			continue
		}
		row := web.FileGrowth{Path: f.Path, Bytes: f.Bytes, FileBytes: f.FileSize, Cause: string(f.Cause)}
		if f.Relation != nil {
			row.Relation = f.Relation.String()
		}
		g.Files = append(g.Files, row)
	}
	return g
}

// causeOfRelation is that of most of a relation's bytes.
func causeOfRelation(r growth.Relation) growth.Cause {
	switch {
	case r.System:
		return growth.CauseCatalog
	case r.Kind == "i":
		return growth.CauseIndex
	}
	return growth.CauseData
}

// relationKind is the word for a pg_class.relkind; an unknown one is empty.
func relationKind(relkind string) string {
	kinds := []struct{ relkind, word string }{
		{"r", "table"}, {"i", "index"}, {"t", "toast table"}, {"S", "sequence"}, {"m", "materialized view"},
	}
	if i := slices.IndexFunc(kinds, func(k struct{ relkind, word string }) bool { return k.relkind == relkind }); i >= 0 {
		return kinds[i].word
	}
	return ""
}
