package pgbackrest_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain keeps temporary files in memory where there is room: pgBackRest syncs
// each of some thousand files.
func TestMain(m *testing.M) {
	const shm = "/dev/shm"
	var st unix.Statfs_t
	if os.Getenv("TMPDIR") == "" && unix.Statfs(shm, &st) == nil && st.Bavail*uint64(st.Bsize) > 1<<30 {
		if err := os.Setenv("TMPDIR", shm); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
