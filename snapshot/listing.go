package snapshot

import (
	"context"
	"io"
	"strings"
	"time"
)

// A Listing is one snapshot of a store, as far as the store tells without
// opening it. Fields that it does not tell have their zero value.
type Listing struct {
	Ref   string    `json:"ref"`   // what to open it by, such as "/repo#20261120-010203F"
	Kind  Kind      `json:"kind"`  // what keeps it
	Label string    `json:"label"` // the store's own name of it
	Type  string    `json:"type,omitempty"`
	Time  time.Time `json:"time"` // when the backup ended, or was taken

	Bytes       int64  `json:"bytes,omitempty"` // of the cluster's files
	StoredBytes int64  `json:"stored_bytes,omitempty"`
	PGVersion   int    `json:"pg_version,omitempty"`
	SystemID    uint64 `json:"system_id,string,omitempty"`
	Timeline    uint32 `json:"timeline,omitempty"`
	StartLSN    LSN    `json:"start_lsn,omitempty"`
	StopLSN     LSN    `json:"stop_lsn,omitempty"`
	Parent      string `json:"parent,omitempty"`  // Label of the one that it builds on
	Problem     string `json:"problem,omitempty"` // why it cannot be opened
}

// AddControl adds what a pg_control says of the cluster.
func (l *Listing) AddControl(c *Control) {
	l.PGVersion, l.SystemID, l.Timeline = c.Major(), c.SystemID, c.Timeline
}

// AddLabel adds what a backup_label says.
func (l *Listing) AddLabel(b *Label) {
	l.StartLSN = b.StartLSN
	if b.Timeline != 0 {
		l.Timeline = b.Timeline
	}
	if t, ok := labelTime(b.StartTime); ok && l.Time.IsZero() {
		l.Time = t
	}
	if b.IncrementalFromLSN != 0 {
		l.Kind, l.Type = KindIncremental, "incremental"
	}
}

// AddManifest adds what a backup_manifest says. A damaged one is the listing's
// Problem; the error is one of reading it, or the context's.
func (l *Listing) AddManifest(ctx context.Context, r io.Reader) error {
	read := &heldError{r: r}
	m, err := ReadManifest(read, func(f ManifestFile) error {
		if rest, ok := strings.CutPrefix(f.Path, "pg_tblspc/"); ok && l.PGVersion == 0 {
			l.PGVersion = majorOfTablespace(rest)
		}
		return ctx.Err()
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if read.err != nil {
		return read.err
	}
	if err != nil {
		l.Problem = err.Error()
		return nil
	}
	l.Bytes = m.Bytes
	if m.SystemID != 0 {
		l.SystemID = m.SystemID
	}
	if n := len(m.WALRanges); n > 0 {
		l.Timeline, l.StartLSN, l.StopLSN = m.WALRanges[n-1].Timeline, m.WALRanges[0].Start, m.WALRanges[n-1].End
	}
	return nil
}

// heldError keeps an error of reading apart from those of what was read.
type heldError struct {
	r   io.Reader
	err error
}

func (h *heldError) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.EOF itself is the end
		h.err = err
	}
	return n, err
}

// majorOfTablespace takes the major version from the name of the directory
// that PostgreSQL makes in a tablespace, as in 16384/PG_15_202209061/...
func majorOfTablespace(name string) (major int) {
	_, name, _ = strings.Cut(name, "/PG_")
	digits, _, _ := strings.Cut(name, "_")
	for _, c := range digits {
		if c < '0' || c > '9' || major > MaxMajor {
			return 0
		}
		major = 10*major + int(c-'0')
	}
	return major
}
