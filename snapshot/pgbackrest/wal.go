package pgbackrest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/snapview/snapview/snapshot"
)

const (
	// walWholeLimit is the size of segments up to which they are decoded
	// whole in memory; the default is 16 MiB.
	walWholeLimit = 16 << 20

	maxHistory  = 1 << 20
	maxWALFiles = 1 << 20
	segmentName = 24 // characters
)

// addWAL puts the segments from the backup's start to its stop into the draft.
func (o *opener) addWAL() error {
	o.draft.WAL = map[string]snapshot.WALFile{}
	err := o.archived()
	if err != nil {
		if o.ctx.Err() != nil || errors.Is(err, snapshot.ErrPassphrase) {
			return err
		}
		// What is missing is refused by preflight; this says why.
		o.draft.Checks = append(o.draft.Checks, snapshot.Check{
			Name: "wal archive", Outcome: snapshot.Warn,
			Detail: fmt.Sprintf("WAL cannot be taken from the repository's archive: %v", err),
			Remedy: "if the backup does not hold its WAL, name a directory that does with --wal-dir",
		})
	}
	o.draft.WALFrom = "the repository's archive"
	if o.opts.WALDir != "" {
		o.draft.WALFrom += " and " + o.opts.WALDir
	}
	return o.hostWAL()
}

func (o *opener) archived() error {
	start, stop := o.m.walStart, o.m.walStop
	switch {
	case start == "" || stop == "": // made without a running server
		return nil
	case o.stanza.archive == "":
		return errors.New("only the stanza's backups were given; give the whole repository")
	case !isSegment(start) || !isSegment(stop) || start > stop || start[:8] != stop[:8]:
		return snapshot.Errorf(snapshot.ErrDamaged, "the manifest has WAL from %.40q to %.40q", start, stop)
	case !isStanza(o.m.dbVersion):
		return snapshot.Errorf(snapshot.ErrDamaged, "the manifest is of PostgreSQL %.40q", o.m.dbVersion)
	}
	size, err := o.segmentSize()
	if err != nil {
		return err
	}
	key, err := o.repo.archiveKey(o.ctx, o.stanza)
	if err != nil {
		return err
	}
	dir := path.Join(o.stanza.archive, fmt.Sprintf("%s-%d", o.m.dbVersion, o.m.dbID))
	for group := start[:16]; group <= stop[:16]; {
		if err := o.group(path.Join(dir, group), size, key); err != nil {
			return err
		}
		if group, err = nextGroup(group); err != nil {
			return err
		}
	}
	if start[:8] != "00000001" {
		return o.history(dir, start[:8]+".history", key)
	}
	return nil
}

// group adds the segments in one folder of the archive: those whose names have
// the first 16 digits in common.
func (o *opener) group(dir string, size int64, key []byte) error {
	list, err := o.repo.store.List(o.ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // preflight names the segments that are missing
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		name, rest, ok := strings.Cut(e.Name, "-")
		if e.Dir || !ok || !isSegment(name) || name < o.m.walStart || name > o.m.walStop || len(rest) < 40 {
			continue
		}
		sum, err := hex.DecodeString(rest[:40])
		c, known := codecOf(rest[40:])
		if err != nil || !known {
			continue // a temporary file
		}
		if len(o.draft.WAL) == maxWALFiles {
			return snapshot.Errorf(snapshot.ErrUnsafe, "more than %d segments of WAL", maxWALFiles)
		}
		if _, twice := o.draft.WAL[name]; twice {
			return snapshot.Errorf(snapshot.ErrDamaged, "%s holds segment %s twice, with different content: find out which server archived which", dir, name)
		}
		p := piece{object: path.Join(dir, e.Name), size: e.Size, coding: &coding{codec: c, key: key}}
		o.draft.WAL[name] = snapshot.WALFile{
			Size: size, Content: o.vault.content(p, size, walWholeLimit, (*[20]byte)(sum)),
			Meta: snapshot.Meta{
				Perm: 0o600, ModTime: e.Changed, Physical: -1,
				Checksum: &snapshot.Checksum{Algorithm: "SHA1", Sum: sum},
			},
		}
	}
	return nil
}

// history adds the timeline's history file, which is never compressed.
func (o *opener) history(dir, name string, key []byte) error {
	obj, err := o.repo.store.Open(o.ctx, path.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the end of the backup is reached without it
	}
	if err != nil {
		return err
	}
	if obj.Size() > maxHistory {
		return snapshot.Errorf(snapshot.ErrDamaged, "%s/%s has %d bytes", dir, name, obj.Size())
	}
	text, err := o.vault.fetch(piece{object: path.Join(dir, name), size: obj.Size(), coding: &coding{codec: &codecs[0], key: key}})
	if err != nil {
		return err
	}
	o.draft.WAL[name] = snapshot.WALFile{
		Size: int64(len(text)), Content: snapshot.Bytes(text),
		Meta: snapshot.Meta{Perm: 0o600, ModTime: obj.Changed(), Physical: -1},
	}
	return nil
}

// segmentSize reads the size of WAL segments from the backup's pg_control.
func (o *opener) segmentSize() (int64, error) {
	for i := range o.m.files {
		if e := &o.m.files[i]; e.name == "pg_data/global/pg_control" {
			codec, err := findCodec(o.m.codec)
			if err != nil {
				return 0, err
			}
			r := o.content(e, &coding{codec: codec, key: o.m.key}, nil)
			b := make([]byte, min(e.size, 8192))
			if n, err := r.ReadAt(b, 0); n < len(b) && !errors.Is(err, io.EOF) {
				return 0, err
			}
			c, err := snapshot.ParseControl(b)
			if err != nil {
				return 0, err
			}
			return int64(c.WALSegmentSize), nil
		}
	}
	return 0, snapshot.Errorf(snapshot.ErrDamaged, "the manifest has no global/pg_control")
}

// archiveKey reads the key of the WAL; nil if it is not encrypted.
func (r *repository) archiveKey(ctx context.Context, s stanza) ([]byte, error) {
	var key []byte
	_, err := r.read(ctx, path.Join(s.archive, archiveInfo), r.passphrase, func() visitor {
		key = nil
		return func(section, k string, value []byte) error {
			if section == "cipher" {
				return visitKey(&key, k, value)
			}
			return nil
		}
	})
	return key, err
}

func isSegment(name string) bool {
	return len(name) == segmentName && strings.Trim(name, "0123456789ABCDEF") == ""
}

// nextGroup returns the folder behind one: timeline, and the upper half of
// positions, 8 digits each.
func nextGroup(group string) (string, error) {
	var tli, n uint32
	if _, err := fmt.Sscanf(group, "%8X%8X", &tli, &n); err != nil {
		return "", err
	}
	if n == 1<<32-1 {
		return "", errors.New("WAL beyond its last position")
	}
	return fmt.Sprintf("%08X%08X", tli, n+1), nil
}
