package sources

import (
	"os"
	"path/filepath"
)

// isKloset reports whether a folder is a Plakar Kloset store: its configuration
// beside its states.
func isKloset(dir string) bool {
	config, err := os.Lstat(filepath.Join(dir, "CONFIG"))
	if err != nil || !config.Mode().IsRegular() {
		return false
	}
	states, err := os.Lstat(filepath.Join(dir, "states"))
	return err == nil && states.IsDir()
}
