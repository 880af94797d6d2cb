package web

import "time"

// Severity says how much a warning matters.
type Severity string

// The severities.
const (
	SeverityInfo    Severity = "info"
	SeverityWarning Severity = "warning"
	SeverityDanger  Severity = "danger"
)

// A Warning is something that a person should know about a backup.
type Warning struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	Detail   string   `json:"detail,omitempty"`
	Hint     string   `json:"hint,omitempty"`
}

// Snapshot is what the backup is: its identity and what preflight found.
type Snapshot struct {
	Reference        string       `json:"reference"`
	Kind             string       `json:"kind"`
	Major            int          `json:"major,omitempty"`
	SystemIdentifier string       `json:"systemIdentifier,omitempty"`
	Timeline         int64        `json:"timeline,omitempty"`
	CheckpointLSN    string       `json:"checkpointLSN,omitempty"`
	RedoLSN          string       `json:"redoLSN,omitempty"`
	CheckpointTime   *time.Time   `json:"checkpointTime,omitempty"`
	BackupStartedAt  *time.Time   `json:"backupStartedAt,omitempty"`
	BackupMethod     string       `json:"backupMethod,omitempty"`
	ClusterState     string       `json:"clusterState,omitempty"`
	Label            string       `json:"label,omitempty"`
	Bytes            int64        `json:"bytes,omitempty"`
	Files            int64        `json:"files,omitempty"`
	Tablespaces      []Tablespace `json:"tablespaces,omitempty"`
	Facts            []Fact       `json:"facts"`
	Warnings         []Warning    `json:"warnings"`
	Changes          []Change     `json:"changes"`
	Settings         []Setting    `json:"settings"`
}

// A Tablespace is one of the backup's.
type Tablespace struct {
	OID      uint32 `json:"oid"`
	Location string `json:"location,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
}

// A Fact is anything else worth showing.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Change is what was done in the overlay so that the backup opens.
type Change struct {
	Path string `json:"path"`
	What string `json:"what"`
	Why  string `json:"why"`
}

// A Setting is one that the backup came with.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	File  string `json:"file,omitempty"`
	Used  bool   `json:"used"` // as it is

	// Becomes is its value in a session; nil for PostgreSQL's default.
	// Effect says why, where people may wonder.
	Becomes *string `json:"becomes,omitempty"`
	Effect  string  `json:"effect,omitempty"`
}
