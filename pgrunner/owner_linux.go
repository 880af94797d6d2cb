package pgrunner

import (
	"io/fs"
	"syscall"
)

// owner returns a file's user and group.
func owner(st fs.FileInfo) (uid, gid int) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, -1
	}
	return int(s.Uid), int(s.Gid)
}
