package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/chunks"
)

// maxProbed bounds the tablespaces that are looked for by name.
const maxProbed = 1000

// A probed store is one that cannot list, with the names in one folder that
// were found by asking for them.
type probed struct {
	*chunks.Store
	dir  string
	list []objects.Entry
}

func (p *probed) List(ctx context.Context, dir string) ([]objects.Entry, error) {
	if dir == p.dir {
		return p.list, nil
	}
	return p.Store.List(ctx, dir)
}

// probe looks for what pg_basebackup -Ft puts into a folder, in a store that
// cannot list it.
func (r *remote) probe(ctx context.Context) (*probed, error) {
	p := &probed{Store: r.store, dir: r.name}
	suffix := ""
	for _, s := range []string{"", ".gz", ".zst", ".lz4", ".bz2", ".xz"} {
		if _, err := p.look(ctx, "base.tar"+s); err == nil {
			suffix = s
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if len(p.list) == 0 {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: neither a file nor a folder with a base.tar in it (a web server has no list of its files: name the file itself): %w", r.ref, fs.ErrNotExist)
	}
	// pg_basebackup compresses this one only if it compresses by itself.
	if _, err := p.look(ctx, "pg_wal.tar"+suffix); errors.Is(err, fs.ErrNotExist) && suffix != "" {
		_, err = p.look(ctx, "pg_wal.tar")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	manifest, err := p.look(ctx, "backup_manifest")
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	oids, err := tablespacesOf(manifest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.ref, err)
	}
	for _, oid := range oids {
		_, err := p.look(ctx, fmt.Sprintf("%d.tar%s", oid, suffix))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // preflight names one that is missing
			return nil, err
		}
	}
	return p, nil
}

// look adds a name of the folder if it is there.
func (p *probed) look(ctx context.Context, name string) (objects.Object, error) {
	o, err := p.Open(ctx, path.Join(p.dir, name))
	if err == nil {
		p.list = append(p.list, objects.Entry{Name: name, Size: o.Size(), Changed: o.Changed()})
	}
	return o, err
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
