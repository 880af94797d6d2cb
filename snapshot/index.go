package snapshot

import "time"

// An Index is what the cache keeps of one compressed file of a backup, so that
// it can be read at random.
type Index struct {
	Object      string        `json:"object"` // the file, as in Progress
	What        string        `json:"what"`   // such as "index of gzip"
	ObjectBytes int64         `json:"object_bytes"`
	DataBytes   int64         `json:"data_bytes"` // in the file, uncompressed
	Bytes       int64         `json:"bytes"`      // of the index
	Made        bool          `json:"made"`       // by this open, not found in the cache
	Took        time.Duration `json:"-"`          // to make it
}

// Indexes returns what the cache keeps of the snapshot's files.
func (s *Snapshot) Indexes() []Index {
	all := s.indexes
	for _, p := range s.parts {
		all = append(all[:len(all):len(all)], p.Indexes()...)
	}
	return all
}
