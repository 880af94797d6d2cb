package diskimage_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/diskimage"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// lvmConfig is what vgcfgbackup would write of a group with a volume in two
// pieces, a swap volume between them, and one of a kind that is not read.
const lvmConfig = `contents = "Text Format Volume Group"
version = 1
description = "made \"up\" for a test" # by hand

vg0 {
	id = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"
	seqno = 7
	format = "lvm2"
	status = ["RESIZEABLE", "READ", "WRITE"]
	flags = []
	extent_size = 8192
	max_lv = 0
	max_pv = 0
	metadata_copies = 0
	physical_volumes {
		pv0 {
			id = "hhhhhh-iiii-jjjj-kkkk-llll-mmmm-nnnnnn"
			device = "/dev/sda"
			status = ["ALLOCATABLE"]
			flags = []
			dev_size = 262144
			pe_start = 2048
			pe_count = 31
		}
	}
	logical_volumes {
		swap {
			id = "pppppp-bbbb-cccc-dddd-eeee-ffff-gggggg"
			status = ["READ", "WRITE", "VISIBLE"]
			flags = []
			segment_count = 1
			segment1 {
				start_extent = 0
				extent_count = 3
				type = "striped"
				stripe_count = 1
				stripes = ["pv0", 4]
			}
		}
		root {
			id = "qqqqqq-bbbb-cccc-dddd-eeee-ffff-gggggg"
			status = ["READ", "WRITE", "VISIBLE"]
			flags = []
			segment_count = 2
			segment1 {
				start_extent = 0
				extent_count = 4
				type = "striped"
				stripe_count = 1
				stripes = ["pv0", 0]
			}
			segment2 {
				start_extent = 4
				extent_count = 12
				type = "striped"
				stripe_count = 1
				stripes = ["pv0", 7]
			}
		}
		fast {
			id = "rrrrrr-bbbb-cccc-dddd-eeee-ffff-gggggg"
			status = ["READ", "WRITE", "VISIBLE"]
			flags = []
			segment_count = 1
			segment1 {
				start_extent = 0
				extent_count = 2
				type = "striped"
				stripe_count = 2
				stripe_size = 128
				stripes = ["pv0", 19, "pv0", 20]
			}
		}
	}
}
`

// lvmDisk is a disk whose LVM label and metadata LVM's own tools wrote.
func lvmDisk(t *testing.T) string {
	t.Helper()
	snapshottest.Need(t, os.Geteuid() == 0, "root")
	for _, tool := range []string{"pvcreate", "vgcfgrestore", "losetup"} {
		snapshottest.Tool(t, tool)
	}
	dir := t.TempDir()
	disk, config := filepath.Join(dir, "disk"), filepath.Join(dir, "config")
	if err := os.WriteFile(config, []byte(lvmConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 128<<20); err != nil {
		t.Fatal(err)
	}
	loop := strings.TrimSpace(snapshottest.Run(t, "/", "losetup", "-f", "--show", disk))
	defer func() {
		if out, err := exec.Command("losetup", "-d", loop).CombinedOutput(); err != nil {
			t.Errorf("losetup -d: %v %s", err, out)
		}
	}()
	only := fmt.Sprintf(`--config=devices{filter=["a|^%s$|","r|.*|"] use_devicesfile=0}activation{udev_sync=0 udev_rules=0}backup{backup=0 archive=0}`, loop)
	snapshottest.Run(t, "/", "pvcreate", "-q", "-y", only, "--uuid", "hhhhhh-iiii-jjjj-kkkk-llll-mmmm-nnnnnn", "--restorefile", config, loop)
	snapshottest.Run(t, "/", "vgcfgrestore", "-q", "-y", only, "-f", config, "vg0")
	return disk
}

func TestOpen_LogicalVolume(t *testing.T) {
	disk := lvmDisk(t)
	if _, err := diskimage.Open(t.Context(), disk, snapshot.Options{}); err == nil || !strings.Contains(err.Error(), "no file system") || !strings.Contains(err.Error(), "vg0/fast is of type striped") {
		t.Errorf("of an empty group: %v", err)
	}
	root, want := host(t, "var/lib/postgresql/15/main")
	image := fileSystem(t, root)
	const extent, begin = 4, 1 // MiB
	for _, piece := range []struct{ from, to, count int }{{0, begin, 4 * extent}, {4 * extent, begin + 7*extent, 12 * extent}} {
		snapshottest.Run(t, "/", "dd", "status=none", "if="+image, "of="+disk, "bs=1M", "conv=notrunc",
			fmt.Sprintf("skip=%d", piece.from), fmt.Sprintf("seek=%d", piece.to), fmt.Sprintf("count=%d", piece.count))
	}
	for _, where := range []string{"", "vg0/root:/var/lib/postgresql/15/main"} {
		s := open(t, disk, snapshot.Options{Root: where})
		if r := snapshottest.Report(s); !strings.Contains(r, "in logical volume vg0/root") {
			t.Errorf("--root %q:\n%s", where, r)
		}
		snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
