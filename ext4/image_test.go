package ext4_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/block/blocktest"
	"github.com/snapview/snapview/ext4"
)

// mixed is a small tree with one of everything.
func mixed() *synth {
	return newSynth(map[string]*file{
		"PG_VERSION":        {mode: 0o600, data: []byte("15\n"), modTime: time.Unix(1_700_000_000, 123_456_789)},
		"global/pg_control": {mode: 0o600, data: bytes.Repeat([]byte("ctl"), 2731), modTime: time.Unix(1, 0)},
		"base/1/1259":       {mode: 0o600, data: bytes.Repeat([]byte("row"), 100_000)},
		"base/1/empty":      {mode: 0o640},
		"base/1/sparse":     {mode: 0o600, size: 3 << 20, data: []byte("start")},
		"pg_tblspc/16400":   link("/somewhere/else"),
		"pg_wal/long":       link(strings.Repeat("long/", 30)),
		"hard1":             {mode: 0o600, data: []byte("one inode"), sys: linkID("x")},
		"base/hard2":        {mode: 0o600, data: []byte("one inode"), sys: linkID("x")},
	})
}

// compareTree parses the image and compares it with the tree, name by name.
func compareTree(t *testing.T, m *ext4.Image, tree *synth) {
	t.Helper()
	got, err := parse(m)
	if err != nil {
		t.Fatalf("the image does not read back: %v", err)
	}
	names := 0
	err = fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		names++
		f, g := tree.byPath[p], got[p]
		if g == nil {
			return fmt.Errorf("%q is missing", p)
		}
		wantMode := uint16(f.mode.Perm())
		for bit, m := range map[uint16]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
			if f.mode&m != 0 {
				wantMode |= bit
			}
		}
		if g.mode&0o7777 != wantMode {
			return fmt.Errorf("%q has mode %o, want %o", p, g.mode, wantMode)
		}
		if f.mode.IsRegular() && g.size != f.length() || g.target != f.target {
			return fmt.Errorf("%q has %d bytes and target %q, want %d and %q", p, g.size, g.target, f.length(), f.target)
		}
		if want := f.modTime; want.Unix() >= -1<<31 && want.Unix() < 10<<30 && !g.mtime.Equal(want) {
			return fmt.Errorf("%q was changed %v, want %v", p, g.mtime, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if names != len(got) {
		t.Fatalf("the image has %d names, the tree %d", len(got), names)
	}
}

func TestImage_IsAReader(t *testing.T) {
	tree := mixed()
	blocktest.TestReader(t, func(t *testing.T) block.Reader { return newImage(t, tree, small) })
}

func TestImage_ReadsBackAsTheTree(t *testing.T) {
	tree := mixed()
	m := newImage(t, tree, ext4.Options{FreeBytes: 16 << 20, FreeInodes: 1000, UID: 1 << 17, GID: 1<<18 + 3})
	compareTree(t, m, tree)
	files, err := parse(m)
	if err != nil {
		t.Fatal(err)
	}
	for p, f := range files {
		if f.uid != 1<<17 || f.gid != 1<<18+3 {
			t.Errorf("%q belongs to %d:%d", p, f.uid, f.gid)
		}
	}
	if a, b := files["hard1"], files["base/hard2"]; a.ino != b.ino || a.links != 2 {
		t.Errorf("hard links have inodes %d and %d, %d links", a.ino, b.ino, a.links)
	}
	if n := files["base"].links; n != 3 {
		t.Errorf("base has %d links, want 3", n)
	}
	pr := &parser{r: m}
	for p, f := range tree.byPath {
		if !f.mode.IsRegular() || f.length() == 0 {
			continue
		}
		g := files[p]
		b := make([]byte, (g.size+4095)/4096*4096)
		if err := pr.readFile(g, b, 0); err != nil {
			t.Fatal(err)
		}
		want := make([]byte, len(b)) // zeros after the data, and after the end
		copy(want, f.data)
		if !bytes.Equal(b, want) {
			t.Errorf("%q: its blocks differ from its data", p)
		}
	}
}

func TestLayout(t *testing.T) {
	m := newImage(t, mixed(), ext4.Options{})
	l := m.Layout()
	if l.Files != 6 || l.Directories != 6 || l.Symlinks != 2 || l.HardLinks != 1 || l.UsedInodes != 10+13 {
		t.Errorf("%+v", l)
	}
	if l.FreeBytes < ext4.DefaultFreeBytes || l.Inodes-l.UsedInodes < ext4.DefaultFreeInodes {
		t.Errorf("less free than promised: %+v", l)
	}
	if l.MetadataBytes+l.DataBytes+l.FreeBytes != l.Size || l.Size != m.Size() || l.Size%(128<<20) != 0 {
		t.Errorf("sizes do not add up: %+v", l)
	}
}

func TestNew_RefusesWhatCannotBeLaidOut(t *testing.T) {
	long := strings.Repeat("n", 256)
	manyLinks := map[string]*file{}
	for i := range 65001 {
		manyLinks[fmt.Sprint(i)] = &file{mode: 0o600, sys: linkID("one")}
	}
	manyDirs := map[string]*file{}
	for i := range 65000 - 1 {
		manyDirs[fmt.Sprint("d/", i)] = &file{mode: fs.ModeDir | 0o700}
	}
	for name, c := range map[string]struct {
		tree fs.FS
		opts ext4.Options
		want string
	}{
		"long name":        {newSynth(map[string]*file{"d/" + long: reg("")}), small, long},
		"device":           {newSynth(map[string]*file{"d/null": {mode: fs.ModeDevice | fs.ModeCharDevice}}), small, `"d/null"`},
		"fifo":             {newSynth(map[string]*file{"pipe": {mode: fs.ModeNamedPipe}}), small, `"pipe"`},
		"socket":           {newSynth(map[string]*file{"s.PGSQL": {mode: fs.ModeSocket}}), small, `"s.PGSQL"`},
		"large file":       {newSynth(map[string]*file{"huge": {size: 16 << 40}}), small, `"huge"`},
		"negative size":    {fuzzTree([]byte("\xc0\x03neg\x00\x00\x01\x00")), small, `"neg"`},
		"too much data":    {newSynth(map[string]*file{"1": {size: 15 << 40}, "2": {size: 15 << 40}, "3": {size: 15 << 40}, "4": {size: 15 << 40}, "5": {size: 15 << 40}}), small, "do not fit"},
		"too much free":    {newSynth(nil), ext4.Options{FreeBytes: 1<<63 - 1}, "do not fit"},
		"too many inodes":  {newSynth(nil), ext4.Options{FreeInodes: 1 << 33}, "inodes"},
		"all inodes":       {newSynth(nil), ext4.Options{FreeInodes: 1<<63 - 1}, "inodes"},
		"negative free":    {newSynth(nil), ext4.Options{FreeBytes: -1}, "negative"},
		"label":            {newSynth(nil), ext4.Options{Label: "seventeen letters"}, "label"},
		"empty symlink":    {newSynth(map[string]*file{"l": link("")}), small, `"l"`},
		"long symlink":     {newSynth(map[string]*file{"l": link(strings.Repeat("l", 4096))}), small, `"l"`},
		"many links":       {newSynth(manyLinks), small, "65000"},
		"many directories": {newSynth(manyDirs), small, "64998"},
		"unequal links":    {newSynth(map[string]*file{"a": {data: []byte("1"), sys: linkID("x")}, "b": {sys: linkID("x")}}), small, `"b"`},
		"name with slash":  {fuzzTree([]byte("\x00\x03a/b\x00\x00\x00\x00")), small, `"a/b"`},
		"name twice":       {fuzzTree([]byte("\x00\x01a\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x00")), small, `"a"`},
		"no random access": {sequential{fstest.MapFS{"file": {Data: []byte("x")}}}, small, "io.ReaderAt"},
		"root is missing":  {os.DirFS("/nonexistent/directory"), small, "root"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ext4.New(c.tree, c.opts)
			if err == nil {
				m.Close()
				t.Fatal("not refused")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error does not say %q: %v", c.want, err)
			}
		})
	}
}

// sequential hides ReadAt of the files of a tree.
type sequential struct{ fs.FS }

func (s sequential) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	if d, ok := f.(fs.ReadDirFile); ok {
		return d, err
	}
	return struct{ fs.File }{f}, err
}

func TestImage_LaysDataOutInPhysicalOrder(t *testing.T) {
	m := newImage(t, newSynth(map[string]*file{
		"a": {data: []byte("a"), sys: order(30)},
		"b": {data: []byte("b"), sys: order(10)},
		"c": {data: []byte("c")},
		"d": {data: []byte("d"), sys: order(20)},
		"e": {data: []byte("e")},
	}), small)
	got := ""
	for off := int64(0); off < m.Size() && len(got) < 5; off += 4096 {
		if p, _, ok := m.PathAt(off); ok {
			got += p
		}
	}
	if got != "bdace" {
		t.Errorf("order is %s, want b, d, a by position, then c, e", got)
	}
}

func TestPathAt(t *testing.T) {
	m := newImage(t, newSynth(map[string]*file{"d/e/file": {size: 5000}}), small)
	data := m.Layout().MetadataBytes
	if p, off, ok := m.PathAt(data + 4999); p != "d/e/file" || off != 4999 || !ok {
		t.Errorf("last byte: %q, %d, %v", p, off, ok)
	}
	for _, off := range []int64{-1, 0, data - 1, data + 5000, data + 8192, m.Size(), 1<<63 - 1} {
		if p, _, ok := m.PathAt(off); ok {
			t.Errorf("byte %d belongs to %q", off, p)
		}
	}
}

func TestIdentity(t *testing.T) {
	base := func() (map[string]*file, ext4.Options) {
		return map[string]*file{
			"d/a": {mode: 0o600, data: []byte("aaaa"), sys: order(1)},
			"d/b": {mode: 0o600, data: []byte("bbbb"), sys: order(2)},
			"l":   link("d/a"),
		}, ext4.Options{UUID: [16]byte{1}, FreeBytes: 1 << 20, FreeInodes: 100}
	}
	id := func(change func(f map[string]*file, o *ext4.Options)) [32]byte {
		f, o := base()
		change(f, &o)
		return newImage(t, newSynth(f), o).Identity()
	}
	same := id(func(map[string]*file, *ext4.Options) {})
	for name, change := range map[string]func(f map[string]*file, o *ext4.Options){
		"nothing": func(map[string]*file, *ext4.Options) {},
		"data":    func(f map[string]*file, _ *ext4.Options) { f["d/a"].data = []byte("xxxx") },
		"now":     func(_ map[string]*file, o *ext4.Options) { o.Now = time.Unix(1<<33, 0) },
	} {
		if id(change) != same {
			t.Errorf("%s changed the identity", name)
		}
	}
	for name, change := range map[string]func(f map[string]*file, o *ext4.Options){
		"name":   func(f map[string]*file, _ *ext4.Options) { f["d/c"] = f["d/b"]; delete(f, "d/b") },
		"size":   func(f map[string]*file, _ *ext4.Options) { f["d/b"].size = 5 },
		"mode":   func(f map[string]*file, _ *ext4.Options) { f["d/b"].mode = 0o640 },
		"mtime":  func(f map[string]*file, _ *ext4.Options) { f["d/b"].modTime = time.Unix(5, 1) },
		"order":  func(f map[string]*file, _ *ext4.Options) { f["d/a"].sys = order(3) },
		"target": func(f map[string]*file, _ *ext4.Options) { f["l"].target = "d/b" },
		"uuid":   func(_ map[string]*file, o *ext4.Options) { o.UUID[3] = 1 },
		"owner":  func(_ map[string]*file, o *ext4.Options) { o.UID = 1 },
		"label":  func(_ map[string]*file, o *ext4.Options) { o.Label = "x" },
		"free":   func(_ map[string]*file, o *ext4.Options) { o.FreeBytes = 1 << 30 },
	} {
		if id(change) == same {
			t.Errorf("%s did not change the identity", name)
		}
	}
}

func TestNew_TakesOrdinaryFileSystems(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(path.Join(dir, "file"), []byte("from disk"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", path.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, tree := range []fs.FS{os.DirFS(dir), fstest.MapFS{"file": {Data: []byte("from disk"), Mode: 0o640}, "link": {Data: []byte("file"), Mode: fs.ModeSymlink}}} {
		m := newImage(t, tree, small)
		got, err := parse(m)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 9)
		if err := (&parser{r: m}).readFile(got["file"], b, 0); err != nil || string(b) != "from disk" {
			t.Errorf("%T: %q, %v", tree, b, err)
		}
		if got["link"].target != "file" {
			t.Errorf("%T: link to %q", tree, got["link"].target)
		}
	}
}
