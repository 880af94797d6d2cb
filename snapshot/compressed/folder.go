package compressed

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/tarset"
)

// suffixes of compressed tars that pg_basebackup and people use.
var suffixes = []string{"", ".gz", ".lz4", ".zst", ".bz2", ".xz"}

// TarName splits the name of a tar in a folder of pg_basebackup -Ft, with or
// without a suffix of compression, into its role: "base", "pg_wal" or an OID.
func TarName(name string) (role string, ok bool) {
	stem, suffix, ok := strings.Cut(name, ".tar")
	if !ok || !slices.Contains(suffixes, suffix) {
		return "", false
	}
	_, err := strconv.ParseUint(stem, 10, 32)
	return stem, err == nil || stem == "base" || stem == "pg_wal"
}

// folder names a folder's files by their roles. Others are none of ours.
func (t *opener) folder(p Place) (set tarset.Set, err error) {
	list, err := p.Store.List(t.ctx, p.Name)
	if err != nil {
		return set, err
	}
	set.Tablespaces = map[uint32]tarset.Archive{}
	seen := map[string]string{}
	for _, e := range list {
		role, ok := TarName(e.Name)
		switch {
		case e.Dir:
			continue
		case e.Name == "backup_manifest":
			f, err := p.Store.Open(t.ctx, path.Join(p.Name, e.Name))
			if err != nil {
				return set, err
			}
			set.Manifest, set.ManifestSize = f, f.Size()
			set.ManifestMeta = snapshot.Meta{Perm: 0o600, ModTime: f.Changed(), Physical: -1}
			continue
		case !ok:
			continue
		case seen[role] != "":
			return set, snapshot.Errorf(snapshot.ErrNotABackup, "%s and %s are both there: leave the one that belongs to the backup", seen[role], e.Name)
		}
		seen[role] = e.Name
		a, err := t.file(p.Store, path.Join(p.Name, e.Name))
		if err != nil {
			return set, err
		}
		switch role {
		case "base":
			set.Base = a
		case "pg_wal":
			set.WAL = &a
		default:
			oid, _ := strconv.ParseUint(role, 10, 32) // TarName checked it
			set.Tablespaces[uint32(oid)] = a
		}
	}
	if set.Base.Data == nil {
		return set, snapshot.Errorf(snapshot.ErrNotABackup, "no base.tar, compressed or not: not a folder of pg_basebackup -Ft")
	}
	return set, nil
}
