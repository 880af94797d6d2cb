package barman

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/directory"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/tars"
)

// Open opens a backup at a place: the one that the place is, or the one that
// opts.Select names: an ID, the beginning of one, a backup's name, "latest" or
// nothing. The snapshot owns the place's store from then on, also when opening
// fails. The error of a backup that Barman did not finish is of class
// ErrDamaged.
func Open(ctx context.Context, p Place, opts snapshot.Options) (*snapshot.Snapshot, error) {
	if p.id != "" {
		opts.Select = p.id
	}
	o := &opener{ctx: ctx, opts: opts, place: p}
	if err := o.choose(); err != nil {
		return nil, errors.Join(err, p.Store.Close())
	}
	s, err := o.open()
	if err != nil {
		return nil, err
	}
	// Another cluster's files put in the place of the backup's are told by it.
	if id := o.backup.info.systemID; id != 0 && id != s.Identity.SystemID {
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
	data   []objects.Entry // of the backup's folder data
	checks []snapshot.Check
}

func (o *opener) choose() error {
	list, err := o.place.backups(o.ctx)
	if err != nil {
		return err
	}
	if o.backup, err = choose(list, o.opts.Select); err != nil {
		return fmt.Errorf("%s: %w", o.place, err)
	}
	if err := o.usable(list); err != nil {
		return fmt.Errorf("%s: %w", o.ref(), err)
	}
	if dataOf(o.backup.entries) == dataFolder {
		o.data, err = o.place.Store.List(o.ctx, path.Join(o.backup.dir, "data"))
	}
	return err
}

func (o *opener) ref() string { return o.place.refOf(o.backup.id) }

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
	o.note(snapshot.OK, "%s: backup %s of PostgreSQL %d, mode %s, ended at %s", infoName, o.backup.id, m.major(), cmp.Or(m.mode, "barman-cloud"), m.endLSN)
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

// open opens the backup's data as what it is.
func (o *opener) open() (*snapshot.Snapshot, error) {
	p := tars.Place{Store: o.place.Store, Folder: true, Counter: o.place.Counter, Amend: o.amend}
	if dataOf(o.backup.entries) == dataTars {
		p.Name, p.Main = o.backup.dir, tars.CloudBase
		return tars.Open(o.ctx, o.ref(), p, o.opts)
	}
	p.Name = path.Join(o.backup.dir, "data")
	if !slices.ContainsFunc(o.data, func(e objects.Entry) bool { return e.Name == "PG_VERSION" }) {
		return tars.Open(o.ctx, o.ref(), p, o.opts)
	}
	host := objects.HostDir(o.place.Store)
	if host == "" {
		far := directory.Place{Store: o.place.Store, Name: p.Name, Tablespaces: o.tablespaces(o.backup.dir, path.Join), Counter: p.Counter, Amend: o.amend}
		return directory.OpenObjects(o.ctx, o.ref(), far, o.opts)
	}
	opts := o.opts
	opts.Tablespaces = o.tablespaces(filepath.Join(host, o.backup.dir), filepath.Join)
	for oid, dir := range o.opts.Tablespaces { // comes first
		opts.Tablespaces[oid] = dir
	}
	owned := false
	s, err := directory.OpenAmended(o.ctx, filepath.Join(host, p.Name), opts, func(d *snapshot.Draft) error {
		owned = true
		d.Closers = append(d.Closers, o.place.Store)
		return o.amend(d)
	})
	if err != nil && !owned {
		err = errors.Join(err, o.place.Store.Close())
	}
	return s, err
}

// tablespaces finds those beside the data directory in a backup's folder, by
// OID. Links in it lead to where they were when the backup was made, if they
// are there at all.
func (o *opener) tablespaces(dir string, join func(...string) string) map[uint32]string {
	found := map[uint32]string{}
	for _, e := range o.backup.entries {
		oid, err := strconv.ParseUint(e.Name, 10, 32)
		if _, ok := o.backup.info.tablespaces[uint32(oid)]; ok && e.Dir && err == nil {
			found[uint32(oid)] = join(dir, e.Name)
		}
	}
	return found
}

// holds reports whether the backup has something of a tablespace: a folder, or
// a tar beside that of the data directory.
func (o *opener) holds(oid uint32) bool {
	name := strconv.FormatUint(uint64(oid), 10)
	return o.opts.Tablespaces[oid] != "" || slices.ContainsFunc(slices.Concat(o.backup.entries, o.data), func(e objects.Entry) bool {
		return e.Name == name || strings.HasPrefix(e.Name, name+".tar")
	})
}

// amend adds to the draft what the catalogue knows.
func (o *opener) amend(d *snapshot.Draft) error {
	m := o.backup.info
	d.Kind, d.Ref = snapshot.KindBarman, o.ref()
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
