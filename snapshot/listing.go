package snapshot

import "time"

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
