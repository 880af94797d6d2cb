package barman

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/compressed"
	"github.com/snapview/snapview/snapshot/directory"
	"github.com/snapview/snapview/snapshot/objects/mounted"
)

// Open opens a backup at a place: the one that the place is, or the one that
// opts.Select names: an ID, the beginning of one, a backup's name, "latest" or
// nothing. The error of a backup that Barman did not finish is of class
// ErrDamaged.
func Open(ctx context.Context, p Place, opts snapshot.Options) (*snapshot.Snapshot, error) {
	list, err := p.backups()
	if err != nil {
		return nil, err
	}
	if p.ID != "" {
		opts.Select = p.ID
	}
	b, err := choose(list, opts.Select)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	o := &opener{ctx: ctx, opts: opts, place: p, backup: b}
	if err := o.usable(list); err != nil {
		return nil, fmt.Errorf("%s: %w", p.ref(b), err)
	}
	s, err := o.open()
	if err != nil {
		return nil, err
	}
	// Another cluster's files put in the place of the backup's are told by it.
	if id := b.info.systemID; id != 0 && id != s.Identity.SystemID {
		s.Checks = append(s.Checks, snapshot.Refusal(snapshot.ErrDamaged, "catalogue",
			fmt.Sprintf("the files are of the cluster %d, but %s is of %d", s.Identity.SystemID, infoName, id),
			"find the backup that the files belong to"))
	}
	return s, nil
}

// opener is the state of one Open.
type opener struct {
	ctx    context.Context
	opts   snapshot.Options
	place  Place
	backup *backup
	checks []snapshot.Check
}

// ref is what to open a backup by.
func (p Place) ref(b *backup) string {
	if p.lone != "" {
		return p.lone
	}
	return p.server + "#" + b.id
}

// usable refuses a backup that is not whole, and notes what a reader should
// know of the choice.
func (o *opener) usable(list []backup) error {
	m := o.backup.info
	switch why := o.backup.problem(); {
	case o.backup.err != nil:
		return o.backup.err
	case why != "" && m.finished() && (m.elsewhere || m.encrypted || m.parent != ""):
		return snapshot.Errorf(snapshot.ErrUnsupported, "%s", why)
	case why != "":
		return snapshot.Errorf(snapshot.ErrDamaged, "%s", why)
	}
	o.note(snapshot.OK, "%s: backup %s of PostgreSQL %d, mode %s, ended at %s", infoName, o.backup.id, m.major(), m.mode, m.endLSN)
	if m.status == statusWaiting {
		o.note(snapshot.Warn, "Barman still waited for the backup's WAL when it was looked at last (%s)", statusWaiting)
	}
	var newer int
	for i := range list {
		if list[i].id > o.backup.id && list[i].problem() != "" {
			newer++
		}
	}
	if newer > 0 && (o.opts.Select == "" || o.opts.Select == "latest") {
		o.note(snapshot.Warn, "%d newer backups cannot be opened; snapview ls tells why", newer)
	}
	return nil
}

func (o *opener) note(outcome snapshot.Outcome, format string, args ...any) {
	o.checks = append(o.checks, snapshot.Check{Name: "catalogue", Outcome: outcome, Detail: fmt.Sprintf(format, args...)})
}

// open opens the folder data as what it is.
func (o *opener) open() (*snapshot.Snapshot, error) {
	data := filepath.Join(o.backup.dir, "data")
	if has(data, "PG_VERSION") {
		opts := o.opts
		opts.Tablespaces = o.tablespaces()
		return directory.OpenAmended(o.ctx, data, opts, o.amend)
	}
	if _, err := os.Stat(data); err != nil {
		return nil, err
	}
	p := compressed.Place{Name: ".", Folder: true, Counter: &snapshot.Counter{}, Amend: o.amend}
	var err error
	if p.Store, err = mounted.OpenLocal(data, o.opts, p.Counter); err != nil {
		return nil, err
	}
	return compressed.OpenStore(o.ctx, data, p, o.opts)
}

// tablespaces finds those beside the data directory, by OID. Links in it lead
// to where they were when the backup was made, if they are there at all. What
// the options name comes first.
func (o *opener) tablespaces() map[uint32]string {
	found := map[uint32]string{}
	for oid := range o.backup.info.tablespaces {
		dir := filepath.Join(o.backup.dir, strconv.FormatUint(uint64(oid), 10))
		if info, err := os.Lstat(dir); err == nil && info.IsDir() {
			found[oid] = dir
		}
	}
	for oid, dir := range o.opts.Tablespaces {
		found[oid] = dir
	}
	return found
}

// holds reports whether the backup has something of a tablespace: a folder, or
// a tar beside that of the data directory.
func (o *opener) holds(oid uint32) bool {
	name := strconv.FormatUint(uint64(oid), 10)
	if o.opts.Tablespaces[oid] != "" || has(o.backup.dir, name) {
		return true
	}
	list, err := os.ReadDir(filepath.Join(o.backup.dir, "data"))
	return err == nil && slices.ContainsFunc(list, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), name+".tar") })
}

// amend adds to the draft what the catalogue knows.
func (o *opener) amend(d *snapshot.Draft) error {
	m := o.backup.info
	d.Kind, d.Ref = snapshot.KindBarman, o.place.ref(o.backup)
	d.EndLSN, d.StopTime = m.endLSN, m.end
	for oid, location := range m.tablespaces {
		d.Tablespaces[oid] = location
		if !o.holds(oid) {
			o.note(snapshot.Warn, "nothing of tablespace %d (%s) is in the backup", oid, strings.ToValidUTF8(location, "?"))
		}
	}
	if err := o.addWAL(d); err != nil {
		return err
	}
	d.Checks = append(o.checks, d.Checks...)
	return nil
}
