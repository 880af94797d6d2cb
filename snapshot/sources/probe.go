package sources

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
)

// maxProbed bounds the tablespaces that are looked for by name.
const maxProbed = 1000

// A prober finds files of a folder by asking for their names.
type prober struct {
	p    *place
	list []objects.Entry
}

// probe looks for what pg_basebackup puts into a folder, in a store that cannot
// list it.
func (p *place) probe() ([]objects.Entry, error) {
	f := &prober{p: p}
	if version, err := f.look("PG_VERSION"); version != nil || err != nil {
		return f.list, err
	}
	suffix := ""
	for _, s := range []string{"", ".gz", ".zst", ".lz4", ".bz2", ".xz"} {
		base, err := f.look("base.tar" + s)
		if err != nil {
			return nil, err
		}
		if base != nil {
			suffix = s
			break
		}
	}
	if len(f.list) == 0 {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: neither a file nor a folder with a base.tar or a PG_VERSION in it (a web server has no list of its files: name the file itself): %w", p.ref, fs.ErrNotExist)
	}
	// pg_basebackup compresses this one only if it compresses by itself.
	wal, err := f.look("pg_wal.tar" + suffix)
	if err == nil && wal == nil && suffix != "" {
		_, err = f.look("pg_wal.tar")
	}
	if err != nil {
		return nil, err
	}
	manifest, err := f.look("backup_manifest")
	if err != nil || manifest == nil {
		return f.list, err
	}
	oids, err := tablespacesOf(manifest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.ref, err)
	}
	for _, oid := range oids {
		if _, err := f.look(fmt.Sprintf("%d.tar%s", oid, suffix)); err != nil { // preflight names one that is missing
			return nil, err
		}
	}
	return f.list, nil
}

// look adds a name of the folder if it is there; nil if it is not.
func (f *prober) look(name string) (objects.Object, error) {
	o, err := f.p.store.Open(f.p.o.ctx, path.Join(f.p.name, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f.list = append(f.list, objects.Entry{Name: name, Size: o.Size(), Changed: o.Changed()})
	return o, nil
}

// tablespacesOf returns the OIDs of the tablespaces that a manifest has files
// of.
func tablespacesOf(manifest objects.Object) (oids []uint32, err error) {
	seen := map[uint32]bool{}
	_, err = snapshot.ReadManifest(io.NewSectionReader(manifest, 0, manifest.Size()), func(f snapshot.ManifestFile) error {
		rest, ok := strings.CutPrefix(f.Path, "pg_tblspc/")
		if !ok {
			return nil
		}
		dir, _, _ := strings.Cut(rest, "/")
		oid, err := strconv.ParseUint(dir, 10, 32)
		if err != nil || seen[uint32(oid)] {
			return nil
		}
		if len(oids) == maxProbed {
			return snapshot.Errorf(snapshot.ErrUnsafe, "backup_manifest names more than %d tablespaces", maxProbed)
		}
		seen[uint32(oid)] = true
		oids = append(oids, uint32(oid))
		return nil
	})
	return oids, err
}
