package sources

import (
	"bytes"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/pgbackrest"
)

// pgBackRestAt finds the pgBackRest repository that a folder is, or that it is
// a part of: a stanza's backups, or one backup. selected names that part as
// Options.Select does.
func pgBackRestAt(dir string) (root, selected string, ok bool) {
	dir, err := filepath.EvalSymlinks(dir)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return "", "", false
	}
	if isRepository(dir) {
		return dir, "", true
	}
	stanza, label := dir, ""
	if pgbackrest.IsLabel(filepath.Base(dir)) && hasInfo(dir, pgbackrest.ManifestName) {
		stanza, label = filepath.Split(dir)
		stanza = filepath.Clean(stanza)
	} else if !hasInfo(dir, pgbackrest.InfoName) {
		return "", "", false
	}
	if backups := filepath.Dir(stanza); filepath.Base(backups) == "backup" {
		return filepath.Dir(backups), path.Join(filepath.Base(stanza), label), true
	}
	return stanza, label, true // a copy of the stanza's backups alone
}

// isRepository reports whether a folder is the root of a repository.
func isRepository(dir string) bool {
	stanzas, err := os.ReadDir(filepath.Join(dir, "backup"))
	if err != nil {
		return false
	}
	return slices.ContainsFunc(stanzas, func(e os.DirEntry) bool {
		return e.IsDir() && hasInfo(filepath.Join(dir, "backup", e.Name()), pgbackrest.InfoName)
	})
}

// hasInfo reports whether a folder has an info file of pgBackRest's, or its
// copy, by how it begins: Barman too has a backup.info.
func hasInfo(dir, name string) bool {
	for _, n := range []string{name, name + ".copy"} {
		f, err := os.Open(filepath.Join(dir, n))
		if err != nil {
			continue
		}
		head := make([]byte, 16)
		k, _ := io.ReadFull(f, head)
		if f.Close() == nil && pgbackrest.IsInfo(bytes.TrimSpace(head[:k])) {
			return true
		}
	}
	return false
}

// isPgBackRest: the two folders of a repository, or a stanza's backups.
func isPgBackRest(p *place) bool {
	switch {
	case !p.folder || p.o.opts.Root != "":
		return false
	case p.local():
		_, _, ok := pgBackRestAt(p.ref)
		return ok
	case p.names["backup/"] && p.names["archive/"]:
		return true
	}
	return p.names[pgbackrest.InfoName] && pgbackrest.IsInfo(bytes.TrimSpace(p.begins(pgbackrest.InfoName)))
}

// openPgBackRest opens a backup of the repository that a place is or is a part
// of, which the reference itself leads to.
func openPgBackRest(p *place, opts snapshot.Options) (*snapshot.Snapshot, error) {
	if !p.local() {
		return pgbackrest.Open(p.o.ctx, objects.Sub(p.take(), p.name), p.counter(), opts)
	}
	root, selected, ok := pgBackRestAt(p.ref)
	if !ok {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s is no repository of pgBackRest any more", p.ref)
	}
	store, err := p.o.near(root)
	if err != nil {
		return nil, err
	}
	switch {
	case selected == "":
	case pgbackrest.IsLabel(path.Base(selected)), opts.Select == "":
		opts.Select = selected
	default:
		opts.Select = path.Join(selected, opts.Select)
	}
	return pgbackrest.Open(p.o.ctx, store.Again(), p.counter(), opts)
}

// listPgBackRest lists the backups of the repository that a place is a part of,
// as far as they are in it.
func listPgBackRest(p *place, opts snapshot.Options) ([]listed, error) {
	if p.local() {
		root, selected, ok := pgBackRestAt(p.ref)
		if !ok {
			return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s is no repository of pgBackRest any more", p.ref)
		}
		store, err := p.o.near(root)
		if err != nil {
			return nil, err
		}
		opts.Select = selected
		return unlabelled(pgbackrest.List(p.o.ctx, store, opts))
	}
	list, err := pgbackrest.List(p.o.ctx, objects.Sub(p.view(), p.name), opts)
	for i := range list {
		if _, label, ok := strings.Cut(list[i].Ref, "#"); ok {
			list[i].Ref = p.ref + "#" + label // with the address's parameters
		}
	}
	return unlabelled(list, err)
}
