package web

import "time"

// State is where a session is in its life.
type State string

// The states of a session, in order.
const (
	StateOpening State = "opening"
	StateReady   State = "ready"
	StateClosing State = "closing"
	StateClosed  State = "closed"
	StateFailed  State = "failed"
)

// Info is a session at one instant.
type Info struct {
	ID              string        `json:"id"`
	Name            string        `json:"name,omitempty"`
	Parent          string        `json:"parent,omitempty"` // the session that it is a fork of
	Owner           string        `json:"owner,omitempty"`  // who opened it
	State           State         `json:"state"`
	Reference       string        `json:"reference"`          // the backup as it was asked for
	Kind            string        `json:"kind"`               // what it was recognised as
	Postgres        string        `json:"postgres,omitempty"` // version of the server, "15.18"
	Moment          string        `json:"moment,omitempty"`   // the moment shown, in words
	CreatedAt       time.Time     `json:"createdAt"`
	ReadyAt         *time.Time    `json:"readyAt,omitempty"`
	ExpiresAt       *time.Time    `json:"expiresAt,omitempty"` // end of its time to live
	IdleAt          *time.Time    `json:"idleAt,omitempty"`    // when it ends if nothing is asked
	Writable        bool          `json:"writable"`            // a scratch server, not a standby
	Runner          string        `json:"runner,omitempty"`
	Attachment      string        `json:"attachment,omitempty"`
	DefaultDatabase string        `json:"defaultDatabase,omitempty"`
	Psql            *PsqlEndpoint `json:"psql,omitempty"`
	Phases          []Phase       `json:"phases"`
	Failure         *Failure      `json:"failure,omitempty"`
	Stats           Stats         `json:"stats"`
}

// PsqlEndpoint is where other clients reach the server. The password is not
// here: it is shown once, by the program.
type PsqlEndpoint struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	User     string `json:"user"`
	Database string `json:"database,omitempty"`
}

// PhaseState is how far a phase is.
type PhaseState string

// The states of a phase.
const (
	PhasePending PhaseState = "pending"
	PhaseRunning PhaseState = "running"
	PhaseDone    PhaseState = "done"
	PhaseFailed  PhaseState = "failed"
)

// A Phase is one step of opening or closing.
type Phase struct {
	Name      string     `json:"name"`
	State     PhaseState `json:"state"`
	Detail    string     `json:"detail,omitempty"`
	StartedAt *time.Time `json:"startedAt,omitempty"`
	Millis    float64    `json:"ms,omitempty"` // took; so far, while it runs
}

// Failure says why a session failed.
type Failure struct {
	Phase   string   `json:"phase,omitempty"`
	Message string   `json:"message"`
	Hint    string   `json:"hint,omitempty"`
	Log     []string `json:"log,omitempty"` // the last lines that PostgreSQL wrote
}

// Stats are the figures of a session, all in bytes.
type Stats struct {
	OverlayBytes    int64  `json:"overlayBytes"`
	LimitBytes      int64  `json:"limitBytes"`  // 0: none
	BaseBytes       int64  `json:"baseBytes"`   // the virtual disk
	BackupBytes     int64  `json:"backupBytes"` // the data directory in the backup
	BackupBytesRead int64  `json:"backupBytesRead"`
	Holding         bool   `json:"holding"` // writes wait for room
	HoldingWhy      string `json:"holdingWhy,omitempty"`
	HoldingReason   string `json:"holdingReason,omitempty"` // quota, total-quota or host-disk-full
}
