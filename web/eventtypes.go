package web

import "time"

// A Sample is the figures that change, at one time.
type Sample struct {
	Time            time.Time `json:"time"`
	OverlayBytes    int64     `json:"overlayBytes"`
	BackupBytesRead int64     `json:"backupBytesRead"`
	Holding         bool      `json:"holding"`
}

// EventType says which of an Event's fields are set.
type EventType string

// The types of events.
const (
	EventPhase   EventType = "phase"   // Phase
	EventState   EventType = "state"   // State; Failure when it is failed
	EventOverlay EventType = "overlay" // Sample
	EventHold    EventType = "hold"    // Sample, Message: writes are held, or go on
	EventWarning EventType = "warning" // Warning
	EventClosing EventType = "closing" // Message: why
	EventClosed  EventType = "closed"  // the last one
)

// An Event is something that happened in a session.
type Event struct {
	ID      int64     `json:"id"` // increasing, from 1
	Type    EventType `json:"type"`
	Time    time.Time `json:"time"`
	State   State     `json:"state,omitempty"`
	Phase   *Phase    `json:"phase,omitempty"`
	Sample  *Sample   `json:"sample,omitempty"`
	Warning *Warning  `json:"warning,omitempty"`
	Failure *Failure  `json:"failure,omitempty"`
	Message string    `json:"message,omitempty"`
}
