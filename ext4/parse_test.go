package ext4_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"path"
	"testing"
	"time"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/ext4"
)

// This file is a second opinion: a reader of the format that shares no code
// with the layout. It verifies every checksum it passes.

var le = binary.LittleEndian

type geo struct{ blockBitmap, inodeBitmap, inodeTable, meta int64 } // byte offsets

func readGeometry(t testing.TB, m *ext4.Image) geo {
	t.Helper()
	p := make([]byte, 8192)
	if _, err := m.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	ipg := int64(le.Uint32(p[1024+0x28:]))
	g := geo{
		blockBitmap: int64(le.Uint32(p[4096:])) * 4096,
		inodeBitmap: int64(le.Uint32(p[4096+4:])) * 4096,
		inodeTable:  int64(le.Uint32(p[4096+8:])) * 4096,
	}
	g.meta = g.inodeTable + m.Layout().Groups*ipg*256
	return g
}

// sum is the kernel's crc32c, which is not inverted at its ends.
func sum(crc uint32, parts ...[]byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	for _, p := range parts {
		crc = ^crc32.Update(^crc, table, p)
	}
	return crc
}

func u32(v uint32) []byte { return le.AppendUint32(nil, v) }

// parsed is a file as the image holds it.
type parsed struct {
	ino      uint32
	mode     uint16
	uid, gid uint32
	links    uint16
	size     int64
	mtime    time.Time
	target   string
	runs     []run // of data blocks, in order
}

type run struct{ logical, start, length int64 }

type parser struct {
	r      io.ReaderAt
	seed   uint32
	ipg    int64
	groups int64
}

// parse reads the whole file system by path; the root is ".".
func parse(r block.Reader) (map[string]*parsed, error) {
	sb := make([]byte, 1024)
	if _, err := r.ReadAt(sb, 1024); err != nil {
		return nil, err
	}
	if le.Uint16(sb[0x38:]) != 0xef53 || sum(^uint32(0), sb[:1020]) != le.Uint32(sb[1020:]) {
		return nil, fmt.Errorf("bad superblock")
	}
	blocks := int64(le.Uint32(sb[4:])) | int64(le.Uint32(sb[0x150:]))<<32
	if blocks*4096 != r.Size() {
		return nil, fmt.Errorf("superblock says %d blocks, the image has %d bytes", blocks, r.Size())
	}
	p := &parser{r: r, seed: sum(^uint32(0), sb[0x68:0x78]), ipg: int64(le.Uint32(sb[0x28:])), groups: blocks / 32768}
	if err := p.checkGroups(sb); err != nil {
		return nil, err
	}
	files := map[string]*parsed{}
	return files, p.walk(".", 2, 2, files)
}

// checkGroups compares descriptors, bitmaps and superblock.
func (p *parser) checkGroups(sb []byte) error {
	freeBlocks, freeInodes := int64(0), int64(0)
	for i := range p.groups {
		d := make([]byte, 64)
		if _, err := p.r.ReadAt(d, 4096+i*64); err != nil {
			return err
		}
		want := le.Uint16(d[0x1e:])
		le.PutUint16(d[0x1e:], 0)
		if got := uint16(sum(p.seed, u32(uint32(i)), d)); got != want {
			return fmt.Errorf("group %d: descriptor checksum %#x, want %#x", i, want, got)
		}
		bb, err := p.bitmap(d, 0x00, 0x20, 0x18, 0x38, 32768)
		if err != nil {
			return fmt.Errorf("group %d: block bitmap: %w", i, err)
		}
		ib, err := p.bitmap(d, 0x04, 0x24, 0x1a, 0x3a, p.ipg)
		if err != nil {
			return fmt.Errorf("group %d: inode bitmap: %w", i, err)
		}
		if bb != int64(le.Uint16(d[0x0c:])) || ib != int64(le.Uint16(d[0x0e:])) {
			return fmt.Errorf("group %d: bitmaps have %d blocks and %d inodes free, the descriptor says otherwise", i, bb, ib)
		}
		freeBlocks += bb
		freeInodes += ib
	}
	if freeBlocks != int64(le.Uint32(sb[0xc:]))|int64(le.Uint32(sb[0x158:]))<<32 || freeInodes != int64(le.Uint32(sb[0x10:])) {
		return fmt.Errorf("bitmaps have %d blocks and %d inodes free, the superblock says otherwise", freeBlocks, freeInodes)
	}
	return nil
}

// bitmap returns the number of zero bits among the first size.
func (p *parser) bitmap(d []byte, lo, hi, sumLo, sumHi int, size int64) (int64, error) {
	b := make([]byte, 4096)
	at := int64(le.Uint32(d[lo:])) | int64(le.Uint32(d[hi:]))<<32
	if _, err := p.r.ReadAt(b, at*4096); err != nil {
		return 0, err
	}
	if want := uint32(le.Uint16(d[sumLo:])) | uint32(le.Uint16(d[sumHi:]))<<16; sum(p.seed, b[:size/8]) != want {
		return 0, fmt.Errorf("bad checksum")
	}
	free := int64(0)
	for i, v := range b { // size is a multiple of 8
		switch clear := int64(8 - bits.OnesCount8(v)); {
		case int64(i) < size/8:
			free += clear
		case clear > 0:
			return 0, fmt.Errorf("padding bits of byte %d are clear", i)
		}
	}
	return free, nil
}

func (p *parser) walk(name string, ino, parent uint32, files map[string]*parsed) error {
	f, err := p.inode(ino)
	if err != nil {
		return fmt.Errorf("%q, inode %d: %w", name, ino, err)
	}
	files[name] = f
	if f.mode&0o170000 != 0o040000 {
		return nil
	}
	b := make([]byte, 4096)
	seen := map[string]bool{}
	for off := int64(0); off < f.size; off += 4096 {
		if err := p.readFile(f, b, off); err != nil {
			return err
		}
		if sum(p.inodeSeed(ino), b[:4084]) != le.Uint32(b[4092:]) || b[4084+7] != 0xde {
			return fmt.Errorf("directory %q: bad checksum at %d", name, off)
		}
		for at := 0; at < 4084; {
			e := b[at:]
			child, size, n := le.Uint32(e), int(le.Uint16(e[4:])), int(e[6])
			if size < 8+n || size%4 != 0 || at+size > 4084 || n == 0 {
				return fmt.Errorf("directory %q: bad entry at %d", name, off+int64(at))
			}
			at += size
			entry := string(e[8 : 8+n])
			if seen[entry] {
				return fmt.Errorf("directory %q: %q twice", name, entry)
			}
			seen[entry] = true
			switch entry {
			case ".":
				if child != ino {
					return fmt.Errorf("directory %q: . is inode %d", name, child)
				}
			case "..":
				if child != parent {
					return fmt.Errorf("directory %q: .. is inode %d, want %d", name, child, parent)
				}
			default:
				if err := p.walk(path.Join(name, entry), child, ino, files); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p *parser) inodeSeed(ino uint32) uint32 { return sum(p.seed, u32(ino), u32(0)) }

func (p *parser) inode(ino uint32) (*parsed, error) {
	group, index := int64(ino-1)/p.ipg, int64(ino-1)%p.ipg
	d := make([]byte, 64)
	if _, err := p.r.ReadAt(d, 4096+group*64); err != nil {
		return nil, err
	}
	table := int64(le.Uint32(d[8:])) | int64(le.Uint32(d[0x28:]))<<32
	b := make([]byte, 256)
	if _, err := p.r.ReadAt(b, table*4096+index*256); err != nil {
		return nil, err
	}
	want := uint32(le.Uint16(b[0x7c:])) | uint32(le.Uint16(b[0x82:]))<<16
	le.PutUint16(b[0x7c:], 0)
	le.PutUint16(b[0x82:], 0)
	if sum(p.inodeSeed(ino), b) != want {
		return nil, fmt.Errorf("bad checksum")
	}
	extra := le.Uint32(b[0x88:])
	f := &parsed{
		ino:   ino,
		mode:  le.Uint16(b),
		uid:   uint32(le.Uint16(b[2:])) | uint32(le.Uint16(b[0x78:]))<<16,
		gid:   uint32(le.Uint16(b[0x18:])) | uint32(le.Uint16(b[0x7a:]))<<16,
		links: le.Uint16(b[0x1a:]),
		size:  int64(le.Uint32(b[4:])) | int64(le.Uint32(b[0x6c:]))<<32,
		mtime: time.Unix(int64(int32(le.Uint32(b[0x10:])))+int64(extra&3)<<32, int64(extra>>2)),
	}
	if le.Uint32(b[0x20:])&0x80000 == 0 {
		f.target = string(b[0x28 : 0x28+f.size])
		return f, nil
	}
	trees, err := p.extents(f, b[0x28:0x28+60], ino)
	if err != nil {
		return nil, err
	}
	blocks := trees
	for _, r := range f.runs {
		blocks += r.length
	}
	if sectors := int64(le.Uint32(b[0x1c:])) | int64(le.Uint16(b[0x74:]))<<32; sectors != blocks*8 {
		return nil, fmt.Errorf("%d sectors in the inode, %d blocks in the tree", sectors, blocks)
	}
	if f.mode&0o170000 == 0o120000 {
		t := make([]byte, f.size)
		if err := p.readFile(f, t, 0); err != nil {
			return nil, err
		}
		f.target = string(t)
	}
	return f, nil
}

// extents collects the runs below node and returns the blocks of the tree.
func (p *parser) extents(f *parsed, node []byte, ino uint32) (trees int64, err error) {
	if le.Uint16(node) != 0xf30a || le.Uint16(node[2:]) > le.Uint16(node[4:]) {
		return 0, fmt.Errorf("bad extent header")
	}
	for i := range int(le.Uint16(node[2:])) {
		e := node[12+12*i:]
		if le.Uint16(node[6:]) == 0 {
			r := run{
				int64(le.Uint32(e)),
				int64(le.Uint16(e[6:]))<<32 | int64(le.Uint32(e[8:])),
				int64(le.Uint16(e[4:])),
			}
			if n := len(f.runs); r.length < 1 || r.length > 32768 ||
				n > 0 && (f.runs[n-1].logical+f.runs[n-1].length != r.logical) {
				return 0, fmt.Errorf("bad extent %+v", r)
			}
			f.runs = append(f.runs, r)
			continue
		}
		b := make([]byte, 4096)
		at := int64(le.Uint16(e[8:]))<<32 | int64(le.Uint32(e[4:]))
		if _, err := p.r.ReadAt(b, at*4096); err != nil {
			return 0, err
		}
		if sum(p.inodeSeed(ino), b[:4092]) != le.Uint32(b[4092:]) {
			return 0, fmt.Errorf("bad checksum of extent block %d", at)
		}
		if le.Uint32(b[12:]) != le.Uint32(e) {
			return 0, fmt.Errorf("extent block %d begins at another block than its parent says", at)
		}
		n, err := p.extents(f, b, ino)
		if err != nil {
			return 0, err
		}
		trees += n + 1
	}
	return trees, nil
}

// readFile reads from a file through its runs.
func (p *parser) readFile(f *parsed, b []byte, off int64) error {
	for len(b) > 0 {
		found := false
		for _, r := range f.runs {
			if in := off - r.logical*4096; in >= 0 && in < r.length*4096 {
				n := min(int64(len(b)), r.length*4096-in)
				if _, err := p.r.ReadAt(b[:n], r.start*4096+in); err != nil {
					return err
				}
				b, off, found = b[n:], off+n, true
				break
			}
		}
		if !found {
			return fmt.Errorf("no block at %d", off)
		}
	}
	return nil
}
