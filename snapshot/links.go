package snapshot

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Directories in which PostgreSQL keeps data that no session can do without.
var dataDirs = []string{"base", "global", "pg_xact", "pg_multixact", "pg_commit_ts", "pg_twophase", "pg_subtrans"}

// CheckLink decides about a symbolic link that is neither a tablespace's nor
// pg_wal's. name is relative to the directory that was backed up, at its path
// in the tree. A link that stays inside that directory is kept. One that
// leaves it is left out, which the returned check says, or is an error of class
// ErrUnsafe where PostgreSQL keeps data: dropping it would lose data, and
// following it would read what is not in the backup.
func CheckLink(at, name, target string) (keep bool, c Check, err error) {
	to := path.Join(path.Dir(name), target)
	if !path.IsAbs(target) && to != ".." && !strings.HasPrefix(to, "../") {
		return true, c, nil
	}
	top, _, _ := strings.Cut(name, "/")
	if slices.Contains(dataDirs, top) || strings.HasPrefix(at, "tablespaces/") {
		return false, c, Errorf(ErrUnsafe,
			"%s is a link to %s, outside of the backup, in a place where PostgreSQL keeps data: "+
				"links are followed only for tablespaces and pg_wal; put the files where the link is", at, target)
	}
	return false, Check{
		Name: "files", Outcome: Info,
		Detail: fmt.Sprintf("%s left out: a link to %s, outside of the backup", at, target),
	}, nil
}

// TablespaceOID returns the OID in a name such as pg_tblspc/16384.
func TablespaceOID(name string) (uint32, bool) {
	s, ok := strings.CutPrefix(name, "pg_tblspc/")
	oid, err := strconv.ParseUint(s, 10, 32)
	return uint32(oid), ok && err == nil && oid != 0 && strconv.FormatUint(oid, 10) == s
}

// LinkTablespace records data/pg_tblspc/<oid> as the link to the tablespace's
// place in the tree, whatever was recorded there before.
func (b *Builder) LinkTablespace(oid uint32) error {
	link := fmt.Sprintf("data/pg_tblspc/%d", oid)
	b.Remove(link)
	return b.Symlink(link, fmt.Sprintf("../../tablespaces/%d", oid), Meta{})
}
