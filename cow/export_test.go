package cow

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/testneeds"
)

// exported is a disk of several layers over a base that knows its zeros.
func exported(t *testing.T, size int64) (*Overlay, Base, []byte) {
	base := Base{Reader: block.NewMemory(size)}
	m := base.Reader.(*block.Memory)
	rnd := newRand(uint64(size))
	for range 20 {
		off := rnd.Int64N(size)
		if _, err := m.WriteAt(randomBytes(rnd, int(min(100_000, size-off))), off); err != nil {
			t.Fatal(err)
		}
	}
	model := readAll(t, m)
	o := newTop(t, newTestStore(t, base), LayerID{}, base)
	for range 3 {
		for range 10 {
			off := rnd.Int64N(size)
			write(t, o, model, randomBytes(rnd, int(min(1+rnd.Int64N(50_000), size-off))), off)
			zero(t, o, model, off/2, min(200_000, size-off/2))
		}
		_, err := o.Checkpoint("")
		must(t, err)
	}
	return o, base, model
}

func TestExportRaw_GivesTheBytesAndLeavesHoles(t *testing.T) {
	const size = 16<<20 + 512
	o, _, model := exported(t, size)
	f, err := os.Create(filepath.Join(t.TempDir(), "disk.raw"))
	must(t, err)
	defer f.Close()
	must(t, ExportRaw(f, o))
	got, err := os.ReadFile(f.Name())
	must(t, err)
	wantBytes(t, "raw image", got, model)
	fi, err := f.Stat()
	must(t, err)
	var data int64
	for off := 0; off < len(model); off += BlockSize {
		if !isBlank(model[off:min(off+BlockSize, len(model))]) {
			data += BlockSize
		}
	}
	if a := allocatedBytes(fi); a < data-BlockSize || a > data+data/10+64<<10 {
		t.Errorf("%d bytes allocated for %d of data", a, data)
	}
}

func TestExportQcow2_IsAcceptedByQemu(t *testing.T) {
	testneeds.Tool(t, "qemu-img")
	// One L2 table describes 512 MiB; sizes around it, and nothing at all.
	for name, size := range map[string]int64{"small": 16<<20 + 512, "two tables": 600 << 20} {
		t.Run(name, func(t *testing.T) {
			o, base, _ := exported(t, size)
			id, err := o.Checkpoint("to export")
			must(t, err)
			v, err := o.store.View(id, base)
			must(t, err)
			defer v.Close()
			dir := t.TempDir()
			raw, err := os.Create(filepath.Join(dir, "disk.raw"))
			must(t, err)
			defer raw.Close()
			must(t, ExportRaw(raw, v))
			var image bytes.Buffer // no seeking in there
			must(t, ExportQcow2(&image, v))
			qcow := filepath.Join(dir, "disk.qcow2")
			must(t, os.WriteFile(qcow, image.Bytes(), 0o600))
			for _, args := range [][]string{
				{"check", "-f", "qcow2", qcow},
				{"compare", "-f", "raw", "-F", "qcow2", raw.Name(), qcow},
			} {
				out, err := exec.Command("qemu-img", args...).CombinedOutput()
				if err != nil {
					t.Errorf("qemu-img %s: %v\n%s", strings.Join(args, " "), err, out)
				}
			}
		})
	}
}

func TestExportQcow2_OfAnEmptyDisk(t *testing.T) {
	testneeds.Tool(t, "qemu-img")
	base := Base{Reader: block.NewMemory(1 << 40)}
	o := newTop(t, newTestStore(t, base), LayerID{}, base)
	f, err := os.Create(filepath.Join(t.TempDir(), "disk.qcow2"))
	must(t, err)
	defer f.Close()
	must(t, ExportQcow2(f, o))
	if out, err := exec.Command("qemu-img", "check", f.Name()).CombinedOutput(); err != nil {
		t.Errorf("qemu-img check: %v\n%s", err, out)
	}
	if fi, err := f.Stat(); err != nil || fi.Size() > 1<<20 {
		t.Errorf("an empty disk of 1 TiB takes %d bytes, %v", fi.Size(), err)
	}
}
