package pgbackrest

import (
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/snapview/snapview/snapshot"
)

// build records the manifest's files.
func (o *opener) build() error {
	codec, err := findCodec(o.m.codec)
	if err != nil {
		return err
	}
	how := &coding{codec: codec, key: o.m.key}
	for _, e := range o.m.dirs {
		at, ok := place(e.name)
		if !ok {
			return snapshot.Errorf(snapshot.ErrUnsafe, "the manifest has a directory %.200q, outside of the cluster", e.name)
		}
		if at == "" || strings.HasPrefix(at, "data/pg_tblspc/") {
			continue // links are made below
		}
		if err := o.draft.Builder.Dir(at, snapshot.Meta{Perm: fs.FileMode(perm(e, o.m.dirMode))}); err != nil {
			return err
		}
	}
	for i := range o.m.files {
		if err := o.add(&o.m.files[i], how); err != nil {
			return err
		}
	}
	return o.tablespaces()
}

// place returns where a name of the manifest lies in the tree; "" for what has
// no place of its own. ok is false for a name outside of the cluster.
func place(name string) (at string, ok bool) {
	if !fs.ValidPath(name) {
		return "", false
	}
	switch top, rest, _ := strings.Cut(name, "/"); top {
	case "pg_data":
		return path.Join("data", rest), true
	case "pg_tblspc":
		if rest == "" {
			return "", true
		}
		oid, _, _ := strings.Cut(rest, "/")
		_, ok := snapshot.TablespaceOID("pg_tblspc/" + oid)
		return "tablespaces/" + rest, ok
	}
	return "", false
}

// add records one file.
func (o *opener) add(e *entry, how *coding) error {
	at, ok := place(e.name)
	if !ok || at == "" || at == "data" {
		return snapshot.Errorf(snapshot.ErrUnsafe, "the manifest has a file %.200q, outside of the cluster", e.name)
	}
	meta := snapshot.Meta{Perm: fs.FileMode(perm(*e, o.m.fileMode)), Physical: -1}
	if e.time > 0 && e.time < 1<<40 {
		meta.ModTime = time.Unix(e.time, 0)
	}
	if e.bundle > 0 && e.bundle < math.MaxInt64>>48 {
		meta.Physical = e.bundle<<47 | e.offset
	}
	if e.known {
		meta.Checksum = &snapshot.Checksum{Algorithm: "SHA1", Sum: e.sum[:]}
	}
	if e.known {
		sum := e.sum // a copy: the manifest's entries are not kept
		meta.Checksum = &snapshot.Checksum{Algorithm: "SHA1", Sum: sum[:]}
	}
	return o.draft.Builder.File(at, e.size, o.content(e, how, meta.Checksum), meta)
}

// content returns where a file's bytes come from.
func (o *opener) content(e *entry, how *coding, checksum *snapshot.Checksum) snapshot.Content {
	label := o.m.labels[e.holder]
	p := piece{off: e.offset, size: e.stored, coding: how}
	switch {
	case e.bundle > 0:
		p.object = o.stanza.bundle(label, e.bundle)
	case e.mapSize > 0:
		p.object = path.Join(o.stanza.backup, label, e.name+blockSuffix)
	default:
		p.object, p.off = path.Join(o.stanza.backup, label, e.name+how.codec.suffix), 0
	}
	if e.mapSize > 0 && e.size > 0 {
		p.off, p.size = p.off+p.size-e.mapSize, e.mapSize
		return &blockFile{
			v: o.vault, stanza: o.stanza, references: o.m.references, name: e.name,
			mapped: p, size: e.size, blockSize: e.blockSize, sumSize: e.sumSize,
		}
	}
	var sum *[20]byte
	if checksum != nil {
		sum = (*[20]byte)(checksum.Sum)
	}
	return o.vault.content(p, e.size, wholeLimit, sum)
}

// tablespaces links those that the manifest names.
func (o *opener) tablespaces() error {
	for name, t := range o.m.targets {
		if t.OID == "" {
			continue // another link: its files are in the manifest at their place
		}
		oid, ok := snapshot.TablespaceOID(name)
		if !ok || t.OID != strconv.FormatUint(uint64(oid), 10) || len(t.Path) > snapshot.MaxPath {
			return snapshot.Errorf(snapshot.ErrDamaged, "the manifest has a tablespace %.80q of OID %.80q", name, t.OID)
		}
		o.draft.Tablespaces[oid] = t.Path
		if err := o.draft.Builder.Dir(fmt.Sprintf("tablespaces/%d", oid), snapshot.Meta{Perm: 0o700}); err != nil {
			return err
		}
		if err := o.draft.Builder.LinkTablespace(oid); err != nil {
			return err
		}
	}
	return nil
}
