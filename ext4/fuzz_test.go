package ext4_test

import (
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/snapview/snapview/ext4"
)

// FuzzTree lays out trees made of the fuzzer's bytes. Each is either refused
// with an error, or its image reads back as the tree it was made of.
func FuzzTree(f *testing.F) {
	f.Add([]byte("\x00\x04base\x80\x01\x00\x00"), int64(1<<20), int64(10))
	f.Add([]byte("\x40\x01d\x00\x00\x00\x00\x80\x02ln\x00\x00\x00\x00\xc0\x03dev\x01\x02\x03\x04"), int64(0), int64(0))
	f.Add([]byte("\x00\x01\x00\x00\x00\x00\xff"), int64(-1), int64(1<<40))
	f.Add([]byte("\x01\x01a\x01\x00\x00\x20\x01\x01b\x01\x00\x00\x20"), int64(1<<45), int64(1<<30))
	f.Fuzz(func(t *testing.T, data []byte, freeBytes, freeInodes int64) {
		if len(data) > 4096 || freeInodes > 1<<22 && freeInodes < 1<<32 || freeBytes > 1<<33 && freeBytes < 1<<46 {
			t.Skip("costs too much for what it shows")
		}
		tree := fuzzTree(data)
		m, err := ext4.New(tree, ext4.Options{FreeBytes: freeBytes, FreeInodes: freeInodes})
		if err != nil {
			return
		}
		defer m.Close()
		if m.Size() > 1<<36 {
			return // its bitmaps take long to check
		}
		compareTree(t, m, tree)
		m.Identity()
	})
}

// fuzzTree reads entries: kind and directory, name length, name, four bytes of
// mode and size.
func fuzzTree(data []byte) *synth {
	root := &file{name: ".", mode: fs.ModeDir | 0o700}
	s := &synth{byPath: map[string]*file{".": root}}
	dirs, paths := []*file{root}, []string{"."}
	for len(data) >= 2 {
		kind, n := data[0]>>5, int(data[1])
		d := int(data[0]&31) % len(dirs)
		data = data[2:]
		if len(data) < n+4 {
			break
		}
		name, q := string(data[:n]), data[n:n+4]
		data = data[n+4:]
		e := &file{
			name:    name,
			mode:    fs.FileMode(q[0])<<1 | fs.FileMode(q[1]&1),
			modTime: time.Unix(int64(int8(q[1]))<<30, int64(q[2])),
			size:    int64(q[2]) << (q[3] % 48),
		}
		p := paths[d] + "/" + name
		if d == 0 {
			p = name
		}
		switch kind {
		case 0, 1:
			e.sys = order(int8(q[1]))
		case 2:
			e.mode |= fs.ModeDir
			dirs, paths = append(dirs, e), append(paths, p)
		case 3:
			e.sys = linkID(fmt.Sprint(q[0] & 3))
		case 4:
			e.mode |= fs.ModeSymlink
			e.target = fmt.Sprintf("%0*d", int(q[0])<<(q[1]%6), 0)
		case 5:
			e.mode |= fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
		case 6:
			e.size = -e.size
		case 7:
			e.mode |= []fs.FileMode{fs.ModeDevice, fs.ModeNamedPipe, fs.ModeSocket, fs.ModeIrregular}[q[0]&3]
		}
		dirs[d].entries = append(dirs[d].entries, e)
		s.byPath[p] = e
	}
	return s
}
