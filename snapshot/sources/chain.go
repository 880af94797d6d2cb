package sources

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/incremental"
	"github.com/snapview/snapview/snapshot/tars"
)

const (
	// maxLabel bounds a backup_label, in bytes.
	maxLabel = 64 << 10

	// Backups in one folder whose labels are read to find those of a chain:
	// over a network each takes a few requests.
	maxBeside    = 4096
	maxBesideFar = 512
	labelsAtOnce = 8
)

// A labelled is a place with a backup, and what its backup_label says.
type labelled struct {
	*place
	label *snapshot.Label
}

// labelled returns the backups that lie in a folder. Only their labels are read.
func (p *place) labelled() (found []labelled, err error) {
	most := maxBeside
	if !p.local() {
		most = maxBesideFar
	}
	var places []*place
	for _, e := range p.entries {
		if e.Dir || p.local() || backupName(e.Name) {
			at := p.below(e.Name)
			at.folder = e.Dir
			places = append(places, at)
		}
	}
	if len(places) > most {
		return nil, snapshot.Errorf(snapshot.ErrUnsupported, "%s holds %d names, of which any may belong to a chain of backups: name the chain's backups", p.ref, len(places))
	}
	labels := make([]*snapshot.Label, len(places))
	errs := make([]error, len(places))
	var reading sync.WaitGroup
	slots := make(chan struct{}, labelsAtOnce)
	for i, e := range places {
		slots <- struct{}{}
		reading.Go(func() {
			defer func() { <-slots }()
			labels[i], errs[i] = e.readLabel()
		})
	}
	reading.Wait()
	if err := p.o.ctx.Err(); err != nil {
		return nil, err
	}
	for i, l := range labels {
		if errs[i] == nil && l != nil { // else no backup, or none that could be part of a chain
			found = append(found, labelled{places[i], l})
		}
	}
	return found, nil
}

// readLabel looks at a place and reads the backup_label of a plain backup, of a
// folder of tars, or of one tar; nil if there is none.
func (p *place) readLabel() (*snapshot.Label, error) {
	look := p.look
	if p.folder {
		look = p.lookInside
	}
	if err := look(); err != nil {
		return nil, err
	}
	if isTars(p) {
		return tars.Label(p.o.ctx, p.tars())
	}
	if !p.names["backup_label"] {
		return nil, nil
	}
	f, err := p.store.Open(p.o.ctx, path.Join(p.name, "backup_label"))
	if err != nil {
		return nil, err
	}
	text := make([]byte, min(f.Size(), maxLabel))
	if _, err := f.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return snapshot.ParseLabel(text)
}

// openChain completes newest, an incremental backup that lies at p, with its
// predecessors, which lie beside it.
func (p *place) openChain(newest *snapshot.Snapshot, opts snapshot.Options) (*snapshot.Snapshot, error) {
	chain := []*snapshot.Snapshot{newest}
	fail := func(err error) (*snapshot.Snapshot, error) {
		errs := []error{err}
		for _, s := range chain {
			errs = append(errs, s.Close())
		}
		return nil, errors.Join(errs...)
	}
	up, err := p.parent()
	if err == nil && up == nil {
		err = snapshot.Errorf(snapshot.ErrDamaged, "%s is incremental, and the backups that it builds on cannot lie beside it: name all of the chain", p.ref)
	}
	var beside []labelled
	if errors.Is(err, errors.ErrUnsupported) || up != nil && up.probed {
		err = snapshot.Errorf(snapshot.ErrDamaged, "%s is incremental, and a web server has no list of its files in which the backups that it builds on could be found: name all of the chain", p.ref)
	}
	if err == nil {
		beside, err = up.labelled()
	}
	if err != nil {
		return fail(err)
	}
	// Tablespaces and WAL that were named belong to the newest backup.
	opts.Tablespaces, opts.WALDir = nil, ""
	p.o.parts = true // what the stores read is counted as the newest's
	for chain[0].Identity.IncrementalFromLSN != 0 {
		prev, err := predecessor(chain[0], beside, up.ref, opts)
		if err != nil {
			return fail(err)
		}
		chain = append([]*snapshot.Snapshot{prev}, chain...)
	}
	return incremental.Combine(p.o.ctx, newest.Ref, chain, nil, opts)
}

// predecessor opens the backup that s, an incremental one, builds on.
func predecessor(s *snapshot.Snapshot, beside []labelled, dir string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	id := s.Identity
	var others string // what comes near
	for _, l := range beside {
		if l.label.StartLSN != id.IncrementalFromLSN || l.label.StartLSN >= id.StartLSN {
			continue
		}
		if l.label.Timeline != id.IncrementalFromTLI {
			others += fmt.Sprintf("; %s starts there, but on timeline %d", l.ref, l.label.Timeline)
			continue
		}
		prev, err := l.open(opts)
		if err != nil {
			return nil, err
		}
		if prev.Identity.SystemID == id.SystemID {
			return prev, nil
		}
		others += fmt.Sprintf("; %s starts there, but is of system %d", l.ref, prev.Identity.SystemID)
		if err := prev.Close(); err != nil {
			return nil, err
		}
	}
	return nil, snapshot.Errorf(snapshot.ErrDamaged,
		"%s is incremental, and its predecessor is not in %s: a backup of system %d that starts at %s on timeline %d%s; put the whole chain side by side, or name all of its backups",
		s.Ref, dir, id.SystemID, id.IncrementalFromLSN, id.IncrementalFromTLI, others)
}

// openList opens the chain that these backups make, named in any order. WAL
// and tablespaces that the options name belong to the newest.
func (o *opening) openList(refs []string) (*snapshot.Snapshot, error) {
	older := o.opts
	older.Tablespaces, older.WALDir = nil, ""
	var chain []*snapshot.Snapshot
	fail := func(err error) (*snapshot.Snapshot, error) {
		errs := []error{err}
		for _, s := range chain {
			errs = append(errs, s.Close())
		}
		return nil, errors.Join(errs...)
	}
	o.parts = true
	last, lastRef := (*snapshot.Snapshot)(nil), ""
	for _, ref := range refs {
		s, err := o.openAlone(ref, older)
		if err != nil {
			return fail(err)
		}
		chain = append(chain, s)
		if last == nil || s.Identity.StartLSN > last.Identity.StartLSN {
			last, lastRef = s, ref
		}
	}
	slices.SortStableFunc(chain, func(a, b *snapshot.Snapshot) int {
		return cmp.Compare(a.Identity.StartLSN, b.Identity.StartLSN)
	})
	if len(o.opts.Tablespaces) > 0 || o.opts.WALDir != "" {
		s, err := o.openAlone(lastRef, o.opts)
		if err != nil {
			return fail(err)
		}
		chain[slices.Index(chain, last)] = s
		if err := last.Close(); err != nil {
			return fail(err)
		}
		last = s
	}
	return incremental.Combine(o.ctx, last.Ref, chain, o.counter, o.opts)
}

// newestOfChain returns the place of the last backup in a folder, if those in
// it make one chain with an incremental backup; nil if they do not.
func (p *place) newestOfChain() (*place, error) {
	list, err := p.labelled()
	if err != nil {
		return nil, err
	}
	followed, incrementals := map[snapshot.LSN]bool{}, 0
	for _, l := range list {
		if l.label.IncrementalFromLSN != 0 {
			followed[l.label.IncrementalFromLSN] = true
			incrementals++
		}
	}
	if incrementals == 0 {
		return nil, nil
	}
	var last []labelled
	for _, l := range list {
		if !followed[l.label.StartLSN] {
			last = append(last, l)
		}
	}
	if len(last) == 1 {
		return last[0].place, nil
	}
	var refs []string
	for _, l := range last[:min(len(last), 10)] {
		refs = append(refs, l.ref)
	}
	return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s holds several chains of backups: open the last of one, %s", p.ref, strings.Join(refs, " or "))
}
