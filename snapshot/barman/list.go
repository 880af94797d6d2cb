package barman

import (
	"context"

	"github.com/snapview/snapview/snapshot"
)

// List returns the backups at a place, oldest first, as their infos have them.
// What cannot be opened is in the list, with its Problem. The place's store
// stays open.
func List(ctx context.Context, p Place) ([]snapshot.Listing, error) {
	backups, err := p.backups(ctx)
	if err != nil {
		return nil, err
	}
	var list []snapshot.Listing
	for i := range backups {
		b := &backups[i]
		l := snapshot.Listing{Ref: p.refOf(b.id), Kind: snapshot.KindBarman, Label: b.id, Problem: b.problem()}
		if m := b.info; m != nil {
			l.Type, l.Time, l.StoredBytes = "full", m.end, max(m.size, b.stored())
			if m.parent != "" {
				l.Type, l.Parent = "incremental", m.parent
			}
			if l.Time.IsZero() {
				l.Time = m.begin
			}
			l.PGVersion, l.SystemID, l.Timeline = m.major(), m.systemID, m.timeline
			l.StartLSN, l.StopLSN = m.beginLSN, m.endLSN
		}
		list = append(list, l)
	}
	return list, nil
}
