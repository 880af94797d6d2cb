package attach

import (
	"fmt"
	"strings"
)

// A Holder is a process that keeps a mount busy.
type Holder struct {
	PID     int
	Command string // as in /proc/PID/comm
	How     string // "file base/1/2619", "working directory", "own mount namespace" ...
}

// A BusyError says that a mount cannot be taken down and who holds it.
type BusyError struct {
	MountPoint string
	Holders    []Holder // empty when nobody was found
}

func (e *BusyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is busy", e.MountPoint)
	for i, h := range e.Holders {
		if i == 5 {
			fmt.Fprintf(&b, " and %d more", len(e.Holders)-i)
			break
		}
		fmt.Fprintf(&b, "; held by %s (pid %d): %s", h.Command, h.PID, h.How)
	}
	if len(e.Holders) == 0 {
		b.WriteString("; no process that can be seen from here holds it")
	}
	return b.String()
}
