package ext4_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/ext4"
)

func reg(data string) *file { return &file{mode: 0o600, data: []byte(data)} }

func link(target string) *file { return &file{mode: fs.ModeSymlink | 0o777, target: target} }

// trees are the shapes that e2fsck is asked about.
func trees() map[string]*synth {
	many := map[string]*file{}
	for i := range 20_000 {
		many[fmt.Sprintf("base/5/%d_vm", i)] = reg("x")
	}
	names := map[string]*file{}
	for i := range 300 {
		names[fmt.Sprintf("%03d%s", i, strings.Repeat("n", 252))] = reg("")
		names[strings.Repeat("d", i%255+1)+"/"+strings.Repeat("é", 127)] = reg("y")
	}
	links := map[string]*file{}
	for _, n := range []int{1, 58, 59, 60, 61, 255, 1000, 4094, 4095} {
		links[fmt.Sprintf("link%d", n)] = link(strings.Repeat("t", n))
	}
	for i := range 5 {
		links[fmt.Sprintf("hard%d", i)] = &file{mode: 0o640, data: []byte("same"), sys: linkID("a")}
		links[fmt.Sprintf("dir/hard%d", i)] = &file{mode: 0o640, data: []byte("same"), sys: linkID("a")}
		links[fmt.Sprintf("dir/other%d", i)] = &file{mode: 0o640, sys: linkID("empty")}
	}
	large := map[string]*file{"global/pg_control": reg("control")}
	for i, size := range []int64{
		4 << 27, 4<<27 + 1, 5 << 27, 1 << 30, 100 << 30, // 4 extents, 5, a leaf
		4 * 340 << 27, 4*340<<27 + 1, // 4 leaves, 5: depth 2
		2 << 40,
	} {
		large[fmt.Sprintf("base/%d", i)] = &file{mode: 0o600, size: size}
	}
	odd := map[string]*file{
		"setuid":  {mode: 0o755 | fs.ModeSetuid | fs.ModeSetgid},
		"sticky":  {mode: 0o777 | fs.ModeDir | fs.ModeSticky},
		"none":    {mode: 0},
		"1890":    {mode: 0o600, modTime: time.Date(1890, 1, 1, 0, 0, 0, 0, time.UTC)},
		"1960":    {mode: 0o600, modTime: time.Date(1960, 1, 1, 0, 0, 0, 5, time.UTC)},
		"2040":    {mode: 0o600, modTime: time.Date(2040, 1, 1, 0, 0, 0, 999_999_999, time.UTC)},
		"3000":    {mode: 0o600, modTime: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"block":   reg(strings.Repeat("b", 4096)),
		"block+1": reg(strings.Repeat("b", 4097)),
		"block-1": reg(strings.Repeat("b", 4095)),
	}
	subdirs := map[string]*file{}
	for i := range 500 {
		subdirs[fmt.Sprintf("%d/%d/%d", i, i, i)] = reg("z")
	}
	deep := map[string]*file{strings.Repeat("d/", 300) + "leaf": reg("deep")}
	return map[string]*synth{
		"Empty":        newSynth(nil),
		"20000Entries": newSynth(many),
		"LongNames":    newSynth(names),
		"Links":        newSynth(links),
		"LargeFiles":   newSynth(large),
		"Odd":          newSynth(odd),
		"Subdirs":      newSynth(subdirs),
		"Deep":         newSynth(deep),
		"Terabyte":     newSynth(terabyte()),
	}
}

// terabyte is a cluster of 1,000 segments of 1 GiB and 20,000 small files.
func terabyte() map[string]*file {
	files := map[string]*file{}
	for i := range 1000 {
		files[fmt.Sprintf("base/16384/24576.%d", i)] = &file{mode: 0o600, size: 1 << 30}
	}
	for i := range 20_000 {
		files[fmt.Sprintf("base/%d/%d", i/1000, i)] = &file{mode: 0o600, size: 8192}
	}
	return files
}

func TestE2fsck_FindsNothing(t *testing.T) {
	for name, tree := range trees() {
		t.Run(name, func(t *testing.T) {
			m := newImage(t, tree, ext4.Options{FreeBytes: 1 << 30, UID: 70000, GID: 100000, Label: "snapview"})
			checkClean(t, exportMetadata(t, m))
		})
	}
}

// exportMetadata exports the image without its data, which e2fsck does not
// look at and which would take long to copy for a terabyte.
func exportMetadata(t *testing.T, m *ext4.Image) string {
	t.Helper()
	name := t.TempDir() + "/image"
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(m.Size()); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, m.Layout().MetadataBytes)
	if _, err := m.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(p); i += 4096 {
		if b := p[i : i+4096]; strings.Trim(string(b), "\x00") != "" {
			if _, err := f.WriteAt(b, int64(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return name
}

func TestE2fsck_FindsNothingInRandomTrees(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for i := range 15 {
		files := randomTree(rnd)
		m := newImage(t, newSynth(files), ext4.Options{
			UID:        rnd.Uint32(),
			GID:        rnd.Uint32(),
			FreeBytes:  1 + rnd.Int64N(1<<uint(10+rnd.IntN(30))),
			FreeInodes: 1 + rnd.Int64N(1<<uint(4+rnd.IntN(14))),
		})
		if out, ok := e2fsck(t, exportMetadata(t, m)); !ok {
			t.Fatalf("tree %d of seed %d, %+v: e2fsck complains:\n%s", i, seed, m.Layout(), out)
		}
	}
}

func randomTree(rnd *rand.Rand) map[string]*file {
	files := map[string]*file{}
	dirs := []string{""}
	for range rnd.IntN(1500) {
		name := dirs[rnd.IntN(len(dirs))] + randomName(rnd)
		f := &file{mode: fs.FileMode(rnd.IntN(0o1000)), modTime: time.Unix(rnd.Int64N(1<<34), rnd.Int64N(1e9))}
		switch rnd.IntN(10) {
		case 0, 1:
			f.mode |= fs.ModeDir
			dirs = append(dirs, name+"/")
		case 2:
			f.mode |= fs.ModeSymlink
			f.target = strings.Repeat("s", 1+rnd.IntN(200))
		case 3:
			f.size, f.sys = 4000, linkID(fmt.Sprint(rnd.IntN(20)))
		case 4:
			f.size, f.sys = rnd.Int64N(1<<uint(1+rnd.IntN(36))), order(rnd.IntN(1000))
		default:
			f.size = rnd.Int64N(20_000)
		}
		if files[name] == nil {
			files[name] = f
		}
	}
	return files
}

func randomName(rnd *rand.Rand) string {
	p := make([]byte, 1+rnd.IntN(1+rnd.IntN(250)))
	for i := range p {
		p[i] = byte('a' + rnd.IntN(26))
	}
	return string(p)
}

// TestE2fsck_SeesEveryKindOfDamage shows that the judge of the tests above is
// awake: one bit changed in each kind of metadata is found.
func TestE2fsck_SeesEveryKindOfDamage(t *testing.T) {
	m := newImage(t, newSynth(map[string]*file{
		"dir/a":     reg("a"),
		"large":     {mode: 0o600, size: 8 << 27},
		"long link": link(strings.Repeat("l", 100)),
	}), small)
	image := exportMetadata(t, m)
	checkClean(t, image)
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g := readGeometry(t, m)
	for what, off := range map[string]int64{
		"superblock":       1024 + 0x10,
		"superblock label": 1024 + 0x78,
		"descriptor":       4096 + 0x0c,
		"block bitmap":     g.blockBitmap + 4000,
		"inode bitmap":     g.inodeBitmap + 3,
		"root inode":       g.inodeTable + 256 + 4,
		"inode time":       g.inodeTable + 10*256 + 0x10,
		"directory entry":  g.meta + 24 + 8,
		"directory tail":   g.meta + 4095,
		"extent block":     g.meta + 2*4096 + 12 + 4,
	} {
		var b, flipped [1]byte
		if _, err := f.ReadAt(b[:], off); err != nil {
			t.Fatal(err)
		}
		flipped[0] = b[0] ^ 0x10
		if _, err := f.WriteAt(flipped[:], off); err != nil {
			t.Fatal(err)
		}
		if out, ok := e2fsck(t, image); ok {
			t.Errorf("%s: a flipped bit at %d was not found:\n%s", what, off, out)
		}
		if _, err := f.WriteAt(b[:], off); err != nil {
			t.Fatal(err)
		}
	}
	checkClean(t, image)
}
