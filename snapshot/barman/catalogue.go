package barman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/tars"
)

const (
	// maxBackups bounds how many backups of one server are read.
	maxBackups = 10_000
	// atOnce is how many infos are read at a time.
	atOnce = 8
)

// How a backup's files are kept in its folder.
type dataKind int

const (
	noData     dataKind = iota
	dataFolder          // data, by Barman: a data directory, or tars of pg_basebackup
	dataTars            // data.tar and <oid>.tar, by barman-cloud
)

func dataOf(entries []objects.Entry) dataKind {
	kind := noData
	for _, e := range entries {
		switch {
		case e.Name == "data" && e.Dir:
			return dataFolder
		case !e.Dir && tars.IsCloud(e.Name):
			kind = dataTars
		}
	}
	return kind
}

// A backup is one of the catalogue, with what is wrong with its info.
type backup struct {
	id      string
	dir     string          // in the place's store
	entries []objects.Entry // of its folder
	info    *info           // nil if it cannot be read
	err     error
}

func (b *backup) problem() string {
	switch {
	case b.err != nil:
		return b.err.Error()
	case b.info.problem() != "":
		return b.info.problem()
	case dataOf(b.entries) == noData:
		return "its data is gone: neither a folder data nor a data.tar"
	}
	return ""
}

// stored is what its tars take, 0 if it has none.
func (b *backup) stored() (n int64) {
	if dataOf(b.entries) != dataTars {
		return 0
	}
	for _, e := range b.entries {
		n += e.Size
	}
	return n
}

// backups reads the catalogue, oldest first. IDs are the times of the backups'
// beginnings, so that their order is that of time.
func (p Place) backups(ctx context.Context) ([]backup, error) {
	if p.lone {
		b := backup{id: p.id, dir: p.dir}
		p.read(ctx, &b)
		return []backup{b}, ctx.Err()
	}
	ids, err := p.ids(ctx)
	if err != nil {
		return nil, err
	}
	var list []backup
	for _, id := range ids {
		if p.id == "" || p.id == id {
			list = append(list, backup{id: id, dir: path.Join(p.dir, "base", id)})
		}
	}
	var reading sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i := range list {
		slots <- struct{}{}
		reading.Go(func() {
			defer func() { <-slots }()
			p.read(ctx, &list[i])
		})
	}
	reading.Wait()
	return list, ctx.Err()
}

// read reads what there is of a backup. What goes wrong stands in its err.
func (p Place) read(ctx context.Context, b *backup) {
	names := []string{path.Join(b.dir, infoName)}
	if !p.lone {
		names = []string{path.Join(p.dir, "meta", b.id+"-"+infoName), names[0]}
	}
	if b.entries, b.err = p.Store.List(ctx, b.dir); b.err != nil && !errors.Is(b.err, fs.ErrNotExist) {
		return
	}
	for _, name := range names {
		if b.info, b.err = readInfo(ctx, p.Store, name); !errors.Is(b.err, fs.ErrNotExist) {
			return
		}
	}
	b.err = snapshot.Errorf(snapshot.ErrDamaged, "%s has no %s: was it finished?", p.refOf(b.id), infoName)
}

// choose returns the backup that a person means: an ID, the beginning of one,
// the name given to it, or the latest that was finished.
func choose(list []backup, selected string) (*backup, error) {
	if selected == "" || selected == "latest" {
		for i := range slices.Backward(list) {
			if list[i].problem() == "" {
				return &list[i], nil
			}
		}
		if len(list) == 0 {
			return nil, snapshot.Errorf(snapshot.ErrNotABackup, "no backup is in the catalogue")
		}
		last := &list[len(list)-1]
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "none of %d backups can be opened; the latest, %s: %s", len(list), last.id, last.problem())
	}
	var found []*backup
	for i := range list {
		b := &list[i]
		if b.id == selected || b.info != nil && b.info.name == selected {
			return b, nil
		}
		if strings.HasPrefix(b.id, selected) {
			found = append(found, b)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "no backup %.80q is in the catalogue; there are %s", selected, ids(list))
	}
	return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%d backups begin with %.80q: name one", len(found), selected)
}

func ids(list []backup) string {
	const some = 10
	var names []string
	for i := range slices.Backward(list) {
		if len(names) == some {
			return strings.Join(names, ", ") + fmt.Sprintf(" and %d more", len(list)-some)
		}
		names = append(names, list[i].id)
	}
	return strings.Join(names, ", ")
}

// ids lists the backups of a server's folder, sorted: the folders below base,
// and what meta tells of.
func (p Place) ids(ctx context.Context) ([]string, error) {
	found := map[string]bool{}
	list, err := p.Store.List(ctx, path.Join(p.dir, "base"))
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.Dir && isID(e.Name) {
			found[e.Name] = true
		}
	}
	list, err = p.Store.List(ctx, path.Join(p.dir, "meta"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range list {
		if id, ok := strings.CutSuffix(e.Name, "-"+infoName); ok && isID(id) {
			found[id] = true
		}
	}
	if len(found) > maxBackups {
		return nil, snapshot.Errorf(snapshot.ErrUnsupported, "%s has more than %d backups: name one, base/ID", p, maxBackups)
	}
	sorted := make([]string, 0, len(found))
	for id := range found {
		sorted = append(sorted, id)
	}
	slices.Sort(sorted)
	return sorted, nil
}

// hasInfo reports whether one of the backups has an info.
func (p Place) hasInfo(ctx context.Context, ids []string) (bool, error) {
	for _, id := range ids {
		for _, name := range []string{"base/" + id + "/" + infoName, "meta/" + id + "-" + infoName} {
			if isInfo(ctx, p.Store, path.Join(p.dir, name)) {
				return true, nil
			}
			if err := ctx.Err(); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// isInfo tells Barman's backup.info from pgBackRest's, which begins with a
// section in brackets.
func isInfo(ctx context.Context, store objects.Store, name string) bool {
	f, err := store.Open(ctx, name)
	if err != nil {
		return false
	}
	head := make([]byte, 1)
	n, err := f.ReadAt(head, 0)
	return n == 1 && (err == nil || errors.Is(err, io.EOF)) && head[0] != '['
}
