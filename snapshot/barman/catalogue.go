package barman

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/snapview/snapview/snapshot"
)

// maxBackups bounds how many backups of one server are read.
const maxBackups = 10_000

const infoName = "backup.info"

// A Place is what a folder is to Barman: a server's folder, one backup of it,
// or a copy of one backup without its server.
type Place struct {
	server string // folder with base and wals; "" for a lone backup
	lone   string // folder of the lone backup
	ID     string // of the backup that the folder is; "" for a server
}

// At tells what dir is. ok is false if it is nothing of Barman's.
func At(dir string) (p Place, ok bool) {
	dir, err := filepath.EvalSymlinks(dir)
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil || has(dir, "PG_VERSION") {
		return p, false
	}
	if has(dir, "data") {
		id, base := filepath.Base(dir), filepath.Dir(dir)
		if server := filepath.Dir(base); filepath.Base(base) == "base" && infoFile(server, id) != "" {
			return Place{server: server, ID: id}, true
		}
		if isInfo(filepath.Join(dir, infoName)) {
			return Place{lone: dir, ID: id}, true
		}
		return p, false
	}
	ids, err := backupIDs(dir)
	return Place{server: dir}, err == nil && slices.ContainsFunc(ids, func(id string) bool { return infoFile(dir, id) != "" })
}

// String names the place as a person would.
func (p Place) String() string { return cmp.Or(p.server, p.lone) }

// A backup is one of the catalogue, with what is wrong with its info.
type backup struct {
	id   string
	dir  string // base/ID
	info *info  // nil if it cannot be read
	err  error
}

func (b *backup) problem() string {
	if b.err != nil {
		return b.err.Error()
	}
	if why := b.info.problem(); why != "" {
		return why
	}
	if !has(b.dir, "data") {
		return "its folder data is gone"
	}
	return ""
}

// backups reads the catalogue, oldest first. IDs are the times of the backups'
// beginnings, so that their order is that of time.
func (p Place) backups() ([]backup, error) {
	if p.lone != "" {
		b := backup{id: p.ID, dir: p.lone}
		b.info, b.err = readInfo(filepath.Join(p.lone, infoName))
		return []backup{b}, nil
	}
	ids, err := backupIDs(p.server)
	if err != nil {
		return nil, err
	}
	var list []backup
	for _, id := range ids {
		b := backup{id: id, dir: filepath.Join(p.server, "base", id)}
		if p.ID != "" && p.ID != id {
			continue
		}
		if name := infoFile(p.server, id); name != "" {
			b.info, b.err = readInfo(name)
		} else {
			b.err = snapshot.Errorf(snapshot.ErrDamaged, "%s has no %s: was it finished?", b.dir, infoName)
		}
		list = append(list, b)
	}
	return list, nil
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

// backupIDs lists the backups of a server's folder, sorted: the folders below
// base, and what meta tells of.
func backupIDs(server string) ([]string, error) {
	found := map[string]bool{}
	list, err := os.ReadDir(filepath.Join(server, "base"))
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.IsDir() && isID(e.Name()) {
			found[e.Name()] = true
		}
	}
	list, err = os.ReadDir(filepath.Join(server, "meta"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range list {
		if id, ok := strings.CutSuffix(e.Name(), "-"+infoName); ok && isID(id) {
			found[id] = true
		}
	}
	if len(found) > maxBackups {
		return nil, snapshot.Errorf(snapshot.ErrUnsupported, "%s has more than %d backups: name one, base/ID", server, maxBackups)
	}
	sorted := make([]string, 0, len(found))
	for id := range found {
		sorted = append(sorted, id)
	}
	slices.Sort(sorted)
	return sorted, nil
}

// infoFile finds the info of a server's backup, "" if there is none.
func infoFile(server, id string) string {
	for _, name := range []string{
		filepath.Join(server, "meta", id+"-"+infoName),
		filepath.Join(server, "base", id, infoName),
	} {
		if isInfo(name) {
			return name
		}
	}
	return ""
}

// isInfo tells Barman's backup.info from pgBackRest's, which begins with a
// section in brackets.
func isInfo(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 1)
	_, err = io.ReadFull(f, head)
	return err == nil && head[0] != '['
}

// isID: the time of the beginning, as in 20261121T163418.
func isID(s string) bool {
	return len(s) == 15 && s[8] == 'T' && strings.Trim(s, "0123456789T") == ""
}

func has(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}
