package snapshot

import (
	"context"
	"errors"
	"io"
)

// A Draft is what a source found before the backup's own files were read.
type Draft struct {
	Kind        Kind
	Ref         string
	Builder     *Builder
	Counter     *Counter
	Tablespaces map[uint32]string // OID to Tablespace.Original
	Checks      []Check           // the source's own findings
	Closers     []io.Closer       // closed in reverse by Snapshot.Close
}

// Identify reads what the draft's files say of themselves, runs the preflight
// checks and returns the snapshot. On error the draft's closers were called.
// The snapshot may be one not to open: see Snapshot.Err.
func Identify(ctx context.Context, d Draft, opts Options) (*Snapshot, error) {
	return nil, errors.New("not written yet")
}
