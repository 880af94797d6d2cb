package sources

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/mounted"
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
	if isPgBackRest(dir) {
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

// isPgBackRest reports whether a folder is the root of a repository.
func isPgBackRest(dir string) bool {
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

// openPgBackRest opens a backup of the repository at root. selected is where
// the reference itself leads.
func openPgBackRest(ctx context.Context, root, selected string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	counter := &snapshot.Counter{}
	store, err := mounted.OpenLocal(root, opts, counter)
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
	return pgbackrest.Open(ctx, store, counter, opts)
}

// listPgBackRest lists the backups of the repository that ref is a part of, as
// far as they are in ref.
func listPgBackRest(ctx context.Context, ref string, opts snapshot.Options) ([]snapshot.Listing, error) {
	root, selected, ok := pgBackRestAt(ref)
	if !ok {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s is no repository of pgBackRest any more", ref)
	}
	store, err := mounted.OpenLocal(root, opts, &snapshot.Counter{})
	if err != nil {
		return nil, err
	}
	opts.Select = selected
	list, err := pgbackrest.List(ctx, store, opts)
	return list, errors.Join(err, store.Close())
}

// isRemotePgBackRest: the two folders of a repository, or a stanza's backups.
func isRemotePgBackRest(r *remote) bool {
	return r.folder && (r.names["backup/"] && r.names["archive/"] || r.names[pgbackrest.InfoName] && !r.names["data/"])
}

func openRemotePgBackRest(ctx context.Context, r *remote, opts snapshot.Options) (*snapshot.Snapshot, error) {
	return pgbackrest.Open(ctx, objects.Sub(r.store, r.name), r.counter, opts)
}

func listRemotePgBackRest(ctx context.Context, r *remote, opts snapshot.Options) ([]snapshot.Listing, error) {
	list, err := pgbackrest.List(ctx, objects.Sub(r.store, r.name), opts)
	for i := range list {
		if _, label, ok := strings.Cut(list[i].Ref, "#"); ok {
			list[i].Ref = r.ref + "#" + label // with the address's parameters
		}
	}
	return list, err
}
