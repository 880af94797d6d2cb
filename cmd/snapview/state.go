package main

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// hostUser is whose tabs, saved statements and history the page keeps: the user
// who called sudo, not root for all of them.
func hostUser() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Geteuid())
}

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
