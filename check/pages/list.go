package pages

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A File is one segment of one fork of a relation.
type File struct {
	Path     string // relative to the root, such as data/base/5/1259_vm.1
	Database uint32 // 0 for shared relations
	Segment  uint32
	Size     int64
}

// Shown is the path as people know it, relative to the data directory.
func (f File) Shown() string {
	if in, ok := strings.CutPrefix(f.Path, "data/"); ok {
		return in
	}
	if in, ok := strings.CutPrefix(f.Path, "tablespaces/"); ok {
		return "pg_tblspc/" + in
	}
	return f.Path
}

// relationFile is a file's name as relpath.c builds it, but those of temporary
// relations.
var relationFile = regexp.MustCompile(`^[1-9][0-9]*(?:_(?:fsm|vm|init))?(?:\.([1-9][0-9]*))?$`)

// List returns the relations' files of a cluster: root holds the data directory
// in data/ and the tablespaces in tablespaces/OID/. Links are not followed.
func List(root fs.FS) ([]File, error) {
	var list []File
	add := func(dir string, database uint32) error {
		entries, err := fs.ReadDir(root, dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			m := relationFile.FindStringSubmatch(e.Name())
			if m == nil || !e.Type().IsRegular() {
				continue
			}
			segment, err := strconv.ParseUint("0"+m[1], 10, 32)
			if err != nil {
				continue // no segment of PostgreSQL's
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // dropped meanwhile
			}
			if err != nil {
				return err
			}
			list = append(list, File{Path: path.Join(dir, e.Name()), Database: database, Segment: uint32(segment), Size: info.Size()})
		}
		return nil
	}
	databases := func(dir string) error {
		entries, err := fs.ReadDir(root, dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if oid, err := strconv.ParseUint(e.Name(), 10, 32); err == nil && e.IsDir() {
				if err := add(path.Join(dir, e.Name()), uint32(oid)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	err := errors.Join(add("data/global", 0), databases("data/base"))
	// A directory in pg_tblspc is a tablespace in place; links lead to tablespaces/.
	for _, pattern := range []string{"tablespaces/*/PG_*", "data/pg_tblspc/*/PG_*"} {
		versions, globErr := fs.Glob(root, pattern)
		err = errors.Join(err, globErr)
		for _, dir := range versions {
			if top, statErr := fs.Lstat(root, path.Dir(dir)); statErr == nil && top.IsDir() {
				err = errors.Join(err, databases(dir))
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("listing the relations' files: %w", err)
	}
	slices.SortFunc(list, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}
