package verify

import (
	"fmt"
	"sync"

	"github.com/snapview/snapview/snapshot"
)

// Kind is what is wrong with a file.
type Kind string

// The kinds of problems, in pg_verifybackup's words.
const (
	Missing    Kind = "missing"    // listed, not there
	Extra      Kind = "extra"      // there, not listed
	Size       Kind = "size"       // of another size than listed
	Sum        Kind = "checksum"   // of other contents than listed
	Unreadable Kind = "unreadable" // the store cannot give its contents
	Manifest   Kind = "manifest"   // the list itself is damaged
	WAL        Kind = "wal"        // the write-ahead log that recovery needs is broken
)

// A Problem is one file that is not what it was when the backup was taken.
type Problem struct {
	Path   string `json:"path"` // as in a manifest: relative to the data directory
	Kind   Kind   `json:"kind"`
	Detail string `json:"detail"`
}

func (p Problem) String() string { return p.Path + ": " + p.Detail }

// maxProblems bounds a report; more are counted.
const maxProblems = 1000

// A Report is what was found in one snapshot.
type Report struct {
	Ref        string    `json:"ref"`
	Against    string    `json:"against"`    // whose checksums: "backup_manifest", "the store", "nothing"
	Files      int       `json:"files"`      // read to their ends
	Bytes      int64     `json:"bytes"`      // read
	Unverified int       `json:"unverified"` // of Files, those without a checksum
	WALRecords int64     `json:"wal_records"`
	Problems   []Problem `json:"problems,omitempty"`
	More       int       `json:"more_problems,omitempty"` // than are listed

	// Parts are the reports of the backups of a chain; the fields above are
	// then their sums.
	Parts []*Report `json:"parts,omitempty"`

	mu sync.Mutex // guards Problems and More while files are read
}

// Count returns how many problems there are.
func (r *Report) Count() int {
	n := len(r.Problems) + r.More
	for _, p := range r.Parts {
		n += p.Count()
	}
	return n
}

// Err is an error of class snapshot.ErrDamaged if anything is wrong.
func (r *Report) Err() error {
	n := r.Count()
	if n == 0 {
		return nil
	}
	var first Problem
	for _, part := range append([]*Report{r}, r.Parts...) {
		if len(part.Problems) > 0 {
			first = part.Problems[0]
			break
		}
	}
	if n == 1 {
		return snapshot.Errorf(snapshot.ErrDamaged, "%s: %s", r.Ref, first)
	}
	return snapshot.Errorf(snapshot.ErrDamaged, "%s: %d files are not what they were when the backup was taken, among them %s", r.Ref, n, first)
}

func (r *Report) problem(path string, kind Kind, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.Problems) >= maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, Problem{path, kind, fmt.Sprintf(format, args...)})
}
