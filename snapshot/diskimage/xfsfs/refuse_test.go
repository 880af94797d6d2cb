package xfsfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/diskimage/imagefs"
)

func TestOpen_RefusesWhatItDoesNotRead(t *testing.T) {
	name, _ := made(t, "32M", "--unsupported")
	image, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	feature := func(bit uint32) func([]byte) {
		return func(b []byte) { be.PutUint32(b[216:], be.Uint32(b[216:])|bit) }
	}
	for name, c := range map[string]struct {
		change func(superblock []byte)
		class  error
		says   string
	}{
		"metadir":           {feature(incompatMetaDir), snapshot.ErrUnsupported, "metadata directories"},
		"zones":             {feature(incompatZoned), snapshot.ErrUnsupported, "zones"},
		"to be repaired":    {feature(incompatRepair), snapshot.ErrDamaged, "xfs_repair"},
		"a new feature":     {feature(1 << 30), snapshot.ErrUnsupported, "0x40000000"},
		"version 6":         {func(b []byte) { b[101] = b[101]&0xF0 | 6 }, snapshot.ErrUnsupported, "version 6"},
		"an external log":   {func(b []byte) { clear(b[48:56]) }, snapshot.ErrUnsupported, "log is on another device"},
		"a log elsewhere":   {func(b []byte) { b[48] = 1 }, snapshot.ErrDamaged, "log"},
		"made half":         {func(b []byte) { b[126] = 1 }, snapshot.ErrDamaged, "mkfs"},
		"no blocks":         {func(b []byte) { clear(b[4:8]) }, snapshot.ErrDamaged, "blocks of 0 bytes"},
		"huge inodes":       {func(b []byte) { b[104] = 0x80 }, snapshot.ErrDamaged, "inodes of"},
		"no groups":         {func(b []byte) { clear(b[88:92]) }, snapshot.ErrDamaged, "0 allocation groups"},
		"too many blocks":   {func(b []byte) { b[8] = 1 }, snapshot.ErrDamaged, "blocks in"},
		"huge dir blocks":   {func(b []byte) { b[192] = 200 }, snapshot.ErrDamaged, "directory blocks"},
		"no root directory": {func(b []byte) { b[57] = 1 }, snapshot.ErrDamaged, "inode"},
	} {
		t.Run(name, func(t *testing.T) {
			head := bytes.Clone(image[:sector])
			c.change(head)
			le.PutUint32(head[superblockCRC:], sumOf(head, superblockCRC))
			f, err := Open(patched{bytes.NewReader(image), 0, head}, int64(len(image)))
			if err == nil {
				_, err = f.Root()
			}
			if !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want class %v, saying %q", err, c.class, c.says)
			}
		})
	}
	if _, err := Open(patched{bytes.NewReader(image), 130, []byte{1}}, int64(len(image))); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("without its checksum: %v", err)
	}
	for _, size := range []int64{0, 100, 600, 1 << 20, int64(len(image)) - 4096} {
		if _, err := Open(bytes.NewReader(image[:size]), size); !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("cut short to %d bytes: %v", size, err)
		}
	}
}

// A file on a realtime device is refused when it is read: others are not.
func TestRead_RealtimeFilesAreRefused(t *testing.T) {
	image, _ := ofVersion4(t)
	f, err := Open(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	n := lookup(t, f, "e", "data")
	i := n.(*Inode)
	i.flags |= flagRealtime
	if _, err := i.Content().ReadAt(make([]byte, 10), 0); !errors.Is(err, snapshot.ErrUnsupported) || !strings.Contains(err.Error(), "realtime") {
		t.Errorf("err = %v", err)
	}
	if i.Content().Place() >= 0 {
		t.Error("it has a place on this device")
	}
}

func lookup(t testing.TB, f *FS, path ...string) imagefs.Node {
	t.Helper()
	n, err := f.Root()
	for _, name := range path {
		if err != nil {
			t.Fatal(err)
		}
		var next imagefs.Node
		err = n.ReadDir(func(d imagefs.Dirent) (err error) {
			if d.Name == name {
				next, err = f.Node(d.Number)
			}
			return err
		})
		if n = next; err == nil && n == nil {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Only what is asked for is read: opening looks at the superblock and the log.
func TestOpen_IsLazy(t *testing.T) {
	image, _ := ofVersion4(t)
	r := &recorder{ReaderAt: bytes.NewReader(image)}
	f, err := Open(r, int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	read := func() (n int64) {
		for _, s := range r.spans {
			if s[0] < f.logStart || s[0] >= f.logStart+f.logSectors*sector {
				n += s[1]
			}
		}
		r.spans = nil
		return n
	}
	if n := read(); n > 1<<20 {
		t.Errorf("opening read %d bytes besides the log", n)
	}
	c := lookup(t, f, "e", "data").Content()
	read()
	if _, err := c.ReadAt(make([]byte, 100), 5000); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if n := read(); n > 64<<10 {
		t.Errorf("reading 100 bytes read %d", n)
	}
}
