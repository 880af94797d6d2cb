package tars

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/compressed"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/tarindex"
)

// tail is where pg_control is looked for at the end of a tar, bytes: it is the
// last member that pg_basebackup sends unless WAL follows.
const tail = 64 << 10

// Describe tells of the tars at a place what can be told without scanning
// them, which costs a pass over a compressed one and a request for each large
// file over a network: what the manifest beside them says, backup_label, which
// is the first member, and pg_control where it is the last. label is nil if it
// could not be read. What is missing stands in the listing as its Problem only
// if the backup cannot be opened.
func Describe(ctx context.Context, ref string, p Place) (l snapshot.Listing, label *snapshot.Label, err error) {
	l = snapshot.Listing{Ref: ref, Kind: snapshot.KindTar, Type: "full"}
	base := p.Name
	var manifest string
	if p.Folder {
		l.Kind = snapshot.KindTarFolder
		list, err := p.Store.List(ctx, p.Name)
		if err != nil {
			return l, nil, err
		}
		for _, e := range list {
			if role, ok := Role(e.Name); ok && !e.Dir {
				l.StoredBytes += e.Size
				if e.Changed.After(l.Time) {
					l.Time = e.Changed
				}
				if role == Base {
					base = path.Join(p.Name, e.Name)
				}
			} else if e.Name == manifestName {
				manifest = path.Join(p.Name, e.Name)
				l.Time = e.Changed
			}
		}
	}
	f, err := p.Store.Open(ctx, base)
	if err != nil {
		return l, nil, err
	}
	if !p.Folder {
		l.Time, l.StoredBytes = f.Changed(), f.Size()
	}
	packed, err := isPacked(f)
	if err != nil {
		return l, nil, err
	}
	if packed {
		l.Kind = snapshot.KindCompressed
	} else if c, err := controlAtEnd(ctx, f, base); err == nil {
		l.AddControl(c)
	} else if ctx.Err() != nil || objects.IsPassing(err) {
		return l, nil, err
	}
	if text, err := labelOf(ctx, f, base); err == nil {
		if label, err = snapshot.ParseLabel(text); err == nil {
			l.AddLabel(label)
		}
	} else if ctx.Err() != nil || objects.IsPassing(err) {
		return l, nil, err
	}
	if manifest != "" {
		err = addManifest(ctx, p.Store, manifest, &l)
	}
	return l, label, err
}

func isPacked(f objects.Object) (bool, error) {
	head := make([]byte, min(f.Size(), 16))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return compressed.Codec(head) != "", nil
}

// addManifest adds what a manifest beside the tars says.
func addManifest(ctx context.Context, store objects.Store, name string, l *snapshot.Listing) error {
	o, err := store.Open(ctx, name)
	if err != nil {
		return err
	}
	if t := o.Changed(); !t.IsZero() {
		l.Time = t
	}
	return l.AddManifest(ctx, io.NewSectionReader(o, 0, o.Size()))
}

// controlAtEnd reads pg_control if it is one of the last members of a tar.
func controlAtEnd(ctx context.Context, f objects.Object, name string) (*snapshot.Control, error) {
	from := max(0, f.Size()-tail) / tarindex.BlockSize * tarindex.BlockSize
	end := make([]byte, f.Size()-from)
	if _, err := f.ReadAt(end, from); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for at := 0; at+tarindex.BlockSize <= len(end); at += tarindex.BlockSize {
		field, _, _ := strings.Cut(string(end[at:at+100]), "\x00")
		if path.Clean(field) != "global/pg_control" {
			continue
		}
		r := io.NewSectionReader(f, from+int64(at), f.Size()-from-int64(at))
		var c *snapshot.Control
		_, err := tarindex.Scan(ctx, r, r.Size(), name, func(m tarindex.Member) error {
			text := make([]byte, min(m.Size, 8192))
			if _, err := m.Content(r).ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			var err error
			if c, err = snapshot.ParseControl(text); err != nil {
				return err
			}
			return errFound
		})
		if errors.Is(err, errFound) {
			return c, nil
		}
	}
	return nil, fs.ErrNotExist
}
