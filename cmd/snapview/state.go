package main

import (
	"os"
	"path/filepath"
)

// stateRoot is where sessions live: the flag, the environment, or the place
// that the Filesystem Hierarchy Standard has for it.
func (a *app) stateRoot() string {
	dir := a.stateDir
	if dir == "" {
		dir = os.Getenv("SNAPVIEW_STATE_DIR")
	}
	if dir == "" {
		return "/var/lib/snapview"
	}
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}
