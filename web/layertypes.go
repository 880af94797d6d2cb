package web

import (
	"io"
	"time"
)

// Growth is the attribution of the overlay's bytes.
// TotalBytes = MetadataBytes + FreeBytes + the bytes of all files.
type Growth struct {
	At            time.Time        `json:"at"`
	Since         string           `json:"since,omitempty"`
	Until         string           `json:"until,omitempty"`
	Notes         []string         `json:"notes,omitempty"` // what the figures cannot say
	TotalBytes    int64            `json:"totalBytes"`
	MetadataBytes int64            `json:"metadataBytes"`
	FreeBytes     int64            `json:"freeBytes"` // of files that are gone
	Causes        []CauseGrowth    `json:"causes"`
	Relations     []RelationGrowth `json:"relations"`
	Files         []FileGrowth     `json:"files"`
	Truncated     bool             `json:"truncated,omitempty"`
}

// A GrowthStep is what one layer added.
type GrowthStep struct {
	Since      string           `json:"since"`           // the checkpoint before
	Until      string           `json:"until,omitempty"` // empty: now
	Name       string           `json:"name,omitempty"`
	At         time.Time        `json:"at"`
	Bytes      int64            `json:"bytes"`
	TotalBytes int64            `json:"totalBytes"` // since the first step began
	Causes     []CauseGrowth    `json:"causes"`
	Relations  []RelationGrowth `json:"relations"` // the largest
}

// CauseGrowth is the bytes of one cause.
type CauseGrowth struct {
	Cause string `json:"cause"`
	Bytes int64  `json:"bytes"`
}

// RelationGrowth is the bytes of one relation.
type RelationGrowth struct {
	Database string `json:"database"` // empty: shared by all
	Schema   string `json:"schema"`
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	OID      uint32 `json:"oid,omitempty"`
	Table    string `json:"table,omitempty"` // whose index or TOAST table it is
	Bytes    int64  `json:"bytes"`
	Cause    string `json:"cause,omitempty"`
}

// FileGrowth is the bytes of one file.
type FileGrowth struct {
	Path      string `json:"path"` // from the data directory
	Bytes     int64  `json:"bytes"`
	FileBytes int64  `json:"fileBytes,omitempty"`
	Extents   int    `json:"extents,omitempty"`
	Cause     string `json:"cause"`
	Relation  string `json:"relation,omitempty"`
}

// A Checkpoint is a sealed layer of the overlay.
type Checkpoint struct {
	ID           string    `json:"id"`
	Name         string    `json:"name,omitempty"`
	Parent       string    `json:"parent,omitempty"`
	CreatedAt    time.Time `json:"createdAt"`
	OverlayBytes int64     `json:"overlayBytes"` // of this layer alone
}

// A Layer is one layer of the overlays over a disk.
type Layer struct {
	ID           string     `json:"id"`
	Parent       string     `json:"parent,omitempty"` // empty: the backup
	Name         string     `json:"name,omitempty"`
	Sealed       bool       `json:"sealed"`            // a checkpoint
	Session      string     `json:"session,omitempty"` // that writes it
	Current      bool       `json:"current"`           // part of the disk that was asked for
	CreatedAt    time.Time  `json:"createdAt"`
	SealedAt     *time.Time `json:"sealedAt,omitempty"`
	OverlayBytes int64      `json:"overlayBytes"` // of this layer alone
	Damage       string     `json:"damage,omitempty"`
}

// A Disk is the disk of a checkpoint. It does not change.
type Disk interface {
	io.ReaderAt
	io.Closer
	// Size returns its size in bytes.
	Size() int64
	// Data calls yield for the ranges that may hold something but zeros, in
	// order, until it returns false.
	Data(yield func(off, n int64) bool) error
	// WriteQcow2 writes it as a qcow2 image.
	WriteQcow2(w io.Writer) error
}

// ForkOptions say what a fork starts from.
type ForkOptions struct {
	Checkpoint string `json:"checkpoint,omitempty"` // empty: a new one
	Name       string `json:"name,omitempty"`
	Writable   bool   `json:"writable,omitempty"`

	// Owner is who asked for it, and whose it will be; empty for the operator,
	// who makes forks for the owner of what is forked.
	Owner string `json:"-"`
}
