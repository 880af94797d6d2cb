package diskimage

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/snapview/snapview/snapshot"
)

// Layout of LVM2's physical volumes (lvm2's lib/format_text/layout.h and
// lib/label/label.h), whose sectors have 512 bytes.
const (
	lvmSector    = 512
	lvmAreaMagic = " LVM2 x[5A%r0N*>"
	maxLVMText   = 8 << 20
	maxSegments  = 1 << 16
)

// A physical is a volume that is part of a volume group.
type physical struct {
	volume
	uuid string // without hyphens
	text string // the group's metadata
}

// A group is a volume group as far as it is in the image.
type group struct {
	name   string
	config section
	have   map[string]volume // by UUID
}

// logicals returns the logical volumes of the groups that lie on the volumes
// given: linear ones, which are pieces of those volumes behind each other. others
// names those of other kinds, or with a piece on a disk that is not there.
func logicals(r io.ReaderAt, pvs []volume) (list []volume, others []string, err error) {
	groups := map[string]*group{}
	for _, v := range pvs {
		p, err := readPhysical(r, v)
		if err != nil {
			return nil, nil, fmt.Errorf("%s, LVM: %w", v, err)
		}
		name, config, err := parseLVM(p.text)
		if err != nil {
			return nil, nil, fmt.Errorf("%s, LVM: %w", v, err)
		}
		id, _ := config.text("id")
		if groups[id] == nil {
			groups[id] = &group{name, config, map[string]volume{}}
		}
		groups[id].have[p.uuid] = v
	}
	for _, g := range groups {
		names, found, err := g.logicals(r)
		if err != nil {
			return nil, nil, fmt.Errorf("volume group %s: %w", g.name, err)
		}
		list, others = append(list, found...), append(others, names...)
	}
	slices.SortFunc(list, func(a, b volume) int { return strings.Compare(a.label, b.label) })
	slices.Sort(others)
	return list, others, nil
}

// readPhysical reads the label of a physical volume and its group's metadata.
func readPhysical(r io.ReaderAt, v volume) (physical, error) {
	p := physical{volume: v}
	head := make([]byte, 8*lvmSector)
	n, _ := r.ReadAt(head, v.start)
	for at := 0; at < 4*lvmSector && at+2*lvmSector <= n; at += lvmSector {
		b := head[at:]
		header := int(le.Uint32(b[20:]))
		if string(b[:8]) != "LABELONE" || string(b[24:32]) != "LVM2 001" || header < 32 || header > lvmSector-40 {
			continue
		}
		b = b[header:]
		p.uuid = string(b[:32])
		// Two lists of places, each ended by zeros: data, then metadata.
		lists := 0
		for b = b[40:]; len(b) >= 16 && lists < 2; b = b[16:] {
			offset, size := int64(le.Uint64(b)), int64(le.Uint64(b[8:]))
			if offset == 0 {
				lists++
				continue
			}
			if lists == 1 {
				text, err := readLVMArea(r, v, offset, size)
				p.text = text
				return p, err
			}
		}
		return p, snapshot.Errorf(snapshot.ErrUnsupported, "the volume has no metadata of its own")
	}
	return p, snapshot.Errorf(snapshot.ErrDamaged, "no label")
}

// readLVMArea reads the current text of a metadata area, which is a ring behind
// a header of one sector.
func readLVMArea(r io.ReaderAt, v volume, offset, size int64) (string, error) {
	h := make([]byte, lvmSector)
	if offset < 0 || offset > v.size-lvmSector || size < 2*lvmSector || size > v.size-offset {
		return "", snapshot.Errorf(snapshot.ErrDamaged, "metadata of %d bytes at %d", size, offset)
	}
	if n, err := r.ReadAt(h, v.start+offset); n < len(h) {
		return "", err
	}
	at, length := int64(le.Uint64(h[40:])), int64(le.Uint64(h[48:]))
	if string(h[4:20]) != lvmAreaMagic || at < lvmSector || at >= size || length < 0 || length > min(size-lvmSector, maxLVMText) {
		return "", snapshot.Errorf(snapshot.ErrDamaged, "the header of its metadata is impossible")
	}
	text := make([]byte, length)
	first := min(length, size-at)
	if n, err := r.ReadAt(text[:first], v.start+offset+at); int64(n) < first {
		return "", err
	}
	if n, err := r.ReadAt(text[first:], v.start+offset+lvmSector); int64(n) < length-first {
		return "", err
	}
	return strings.TrimRight(string(text), "\x00"), nil
}

// logicals returns the linear volumes of a group, and names the others.
func (g *group) logicals(r io.ReaderAt) (others []string, list []volume, err error) {
	extent, ok := g.config.number("extent_size")
	if !ok || extent <= 0 || extent > 1<<32 {
		return nil, nil, snapshot.Errorf(snapshot.ErrDamaged, "extents of %d sectors", extent)
	}
	for _, lv := range g.config.section("logical_volumes").sections() {
		pieces, why, err := g.pieces(r, lv.section, extent*lvmSector)
		if err != nil {
			return nil, nil, fmt.Errorf("logical volume %s: %w", lv.name, err)
		}
		v := volume{label: g.name + "/" + lv.name, lvm: true, size: pieces.size(), r: pieces}
		if why != "" {
			others = append(others, fmt.Sprintf("%s is %s", v, why))
			continue
		}
		list = append(list, v)
	}
	return others, list, nil
}

// pieces returns where a logical volume lies, or why that cannot be said.
func (g *group) pieces(r io.ReaderAt, lv section, extent int64) (all pieces, why string, err error) {
	for _, s := range lv.sections() {
		if !strings.HasPrefix(s.name, "segment") {
			continue
		}
		kind, _ := s.text("type")
		stripes := s.list("stripes")
		count, ok := s.number("extent_count")
		switch {
		case kind != "striped" || len(stripes) != 2:
			return nil, "of type " + kind + ", only linear volumes are read", nil
		case !ok || count <= 0 || count > 1<<40 || len(all) >= maxSegments:
			return nil, "", snapshot.Errorf(snapshot.ErrDamaged, "a segment of %d extents", count)
		}
		name, first := stripes[0].text, stripes[1].number
		pv := g.config.section("physical_volumes").section(name)
		id, _ := pv.text("id")
		v, here := g.have[strings.ReplaceAll(id, "-", "")]
		if !here {
			return nil, "partly on another disk (" + name + ")", nil
		}
		start, ok := pv.number("pe_start")
		if !ok || start < 0 || start > v.size/lvmSector || first < 0 || first > v.size/extent {
			return nil, "", snapshot.Errorf(snapshot.ErrDamaged, "extent %d, counted from sector %d, beyond the end of %s", first, start, v)
		}
		at := start*lvmSector + first*extent
		if at > v.size || count > (v.size-at)/extent {
			return nil, "", snapshot.Errorf(snapshot.ErrDamaged, "%d extents at %d, beyond the end of %s", count, first, v)
		}
		all = append(all, piece{r, v.start + at, count * extent})
	}
	return all, "", nil
}

// A piece is a part of a logical volume.
type piece struct {
	r     io.ReaderAt
	start int64
	size  int64
}

// pieces lie behind each other in a logical volume.
type pieces []piece

func (p pieces) size() (n int64) {
	for _, one := range p {
		n += one.size
	}
	return n
}

// ReadAt implements io.ReaderAt.
func (p pieces) ReadAt(b []byte, off int64) (int, error) {
	done := 0
	for _, one := range p {
		if off >= one.size {
			off -= one.size
			continue
		}
		n := int(min(int64(len(b)-done), one.size-off))
		k, err := one.r.ReadAt(b[done:done+n], one.start+off)
		done += k
		if k < n {
			return done, err
		}
		if done == len(b) {
			return done, nil
		}
		off = 0
	}
	return done, io.EOF
}
