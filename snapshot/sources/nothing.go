package sources

import (
	"path"
	"slices"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
)

// nothing says what lies at a place instead of a backup that can be opened.
func (p *place) nothing() error {
	if !p.folder {
		for _, m := range magics {
			if strings.HasPrefix(string(p.head), m.text) {
				return snapshot.Errorf(snapshot.ErrUnsupported, "%s is %s", p.ref, m.what)
			}
		}
		return snapshot.Errorf(snapshot.ErrNotABackup, "%s: a file that is no tar and none of the kinds known", p.ref)
	}
	if what := p.storeKind(); what != "" {
		return snapshot.Errorf(snapshot.ErrUnsupported, "%s is %s", p.ref, what)
	}
	const most = 10
	var inside []string
	for _, e := range p.entries {
		if len(inside) == most || !e.Dir {
			continue
		}
		if sub := p.below(e.Name); sub.lookInside() == nil && sub.names["PG_VERSION"] {
			inside = append(inside, sub.ref)
		} else if !p.local() {
			break // a request for each is too much
		}
	}
	if len(inside) > 0 {
		return snapshot.Errorf(snapshot.ErrNotABackup, "%s is no data directory itself, but has some in it: open one of %s", p.ref, strings.Join(inside, ", "))
	}
	return snapshot.Errorf(snapshot.ErrNotABackup, "%s: nothing among its %d names looks like a PostgreSQL backup: no PG_VERSION (a data directory), no base.tar (pg_basebackup -Ft), no repository; snapview ls tells what lies deeper", p.ref, len(p.names))
}

// storeKind names a folder of another kind by the files that only it has.
func (p *place) storeKind() string {
	names := p.names
	// mount tells how to get at what this build does not read itself.
	mount := func(command string) string {
		return ", whose backups are opened where they are mounted: " + command + ", then open the data directory below DIR"
	}
	switch {
	case names["toc.dat"]:
		return "a logical dump (pg_dump -Fd): it has no data files; restore it with pg_restore"
	case names["archive/"] && names["backup/"] && p.holds("archive", "archive.info"):
		return "a pgBackRest repository without a readable list of backups (backup/*/backup.info)"
	case names["CONFIG"] && (names["packfiles/"] || names["states"]):
		return "what is left of a Plakar Kloset store: it has no folder states, or CONFIG is no file"
	case names["config"] && names["snapshots/"] && names["keys/"] && names["data/"]:
		return "a restic repository" + mount("restic mount DIR")
	case names["config"] && names["data/"] && names["README"]:
		return "a borg repository" + mount("borg mount REPOSITORY DIR")
	case names["kopia.repository.f"] || names["kopia.repository"]:
		return "a kopia repository" + mount("kopia mount all DIR")
	case names["basebackups_005/"]:
		return "a WAL-G store, a kind that this build does not open: fetch the backup (wal-g backup-fetch DIR NAME) and open DIR"
	case names["base/"] && names["wals/"]:
		return "a Barman server's folder without a readable list of backups (base/ID/backup.info, meta/ID-backup.info)"
	case names["data/"] && names["backup.info"]:
		return "what is left of a Barman backup: its backup.info cannot be read; open its folder data and name the WAL with --wal-dir"
	}
	return ""
}

// holds reports whether one of the folders in a folder has a file of a name.
func (p *place) holds(folder, file string) bool {
	in := p.below(folder)
	return in.lookInside() == nil && slices.ContainsFunc(in.entries, func(e objects.Entry) bool {
		_, err := p.store.Open(p.o.ctx, path.Join(in.name, e.Name, file))
		return e.Dir && err == nil
	})
}

// A magic is what the beginning of a file of some kind looks like.
type magic struct {
	text string
	what string
}

var magics = []magic{
	{"PGDMP", "a logical dump (pg_dump -Fc): it has no data files; restore it with pg_restore"},
	{"--\n-- PostgreSQL database", "a logical dump in SQL: restore it with psql"},
	{"_KLOSET_", "one file of a Plakar Kloset store: open the store's folder"},
	{"PK\x03\x04", "a zip archive, which cannot be read on demand: unpack it"},
	{"Salted__", "an encrypted file (OpenSSL): decrypt it first"},
	{"age-encryption.org/", "an encrypted file (age): decrypt it first"},
}
