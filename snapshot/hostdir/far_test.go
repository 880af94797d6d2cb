package hostdir

import (
	"strings"
	"testing"
)

func TestMountedKind(t *testing.T) {
	const table = `22 1 0:20 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/l
40 22 0:55 / /mnt/restic rw,nosuid,nodev,relatime shared:7 master:2 - fuse.restic restic ro,user_id=0
41 22 0:56 / /mnt/disk\040x rw - fuseblk /dev/sdb1 rw
42 22 0:57 / /short
`
	for minor, want := range map[uint32]string{20: "overlay", 55: "fuse.restic", 56: "fuseblk", 57: "", 58: ""} {
		if got := mountedKind(strings.NewReader(table), 0, minor); got != want {
			t.Errorf("0:%d is %q, want %q", minor, got, want)
		}
	}
}
