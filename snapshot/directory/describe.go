package directory

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
)

// maxSmall bounds what is read whole to describe a directory, bytes.
const maxSmall = 64 << 10

// Describe tells of a data directory in a store what its pg_control,
// backup_label and manifest say, without listing it. label is nil if there is
// none.
func Describe(ctx context.Context, ref string, store objects.Store, name string) (l snapshot.Listing, label *snapshot.Label, err error) {
	l = snapshot.Listing{Ref: ref, Kind: snapshot.KindDirectory, Type: "full"}
	read := func(name string) ([]byte, error) {
		f, err := store.Open(ctx, name)
		if err != nil {
			return nil, err
		}
		text := make([]byte, min(f.Size(), maxSmall))
		if _, err := f.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if f.Changed().After(l.Time) {
			l.Time = f.Changed()
		}
		return text, nil
	}
	text, err := read(path.Join(name, "global/pg_control"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.Problem = "global/pg_control is missing: the backup is cut short, or no whole data directory"
		return l, nil, nil
	case err != nil:
		return l, nil, err
	}
	if c, err := snapshot.ParseControl(text); err == nil {
		l.AddControl(c)
	} else {
		l.Problem = err.Error()
	}
	if text, err = read(path.Join(name, "backup_label")); err == nil {
		if label, err = snapshot.ParseLabel(text); err == nil {
			l.AddLabel(label)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return l, nil, err
	}
	if text, err = read(path.Join(name, "PG_VERSION")); err == nil && l.PGVersion == 0 {
		l.PGVersion = major(text)
	}
	manifest, err := store.Open(ctx, path.Join(name, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return l, label, nil
	}
	if err != nil {
		return l, label, err
	}
	return l, label, l.AddManifest(ctx, io.NewSectionReader(manifest, 0, manifest.Size()))
}

// major reads a PG_VERSION, 0 if it holds none.
func major(text []byte) (n int) {
	for _, c := range bytes.TrimSpace(text) {
		if c < '0' || c > '9' || n > snapshot.MaxMajor {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}
