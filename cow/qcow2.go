package cow

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/snapview/snapview/block"
)

// The qcow2 format is described by docs/interop/qcow2.rst of QEMU. What is
// written here has version 3, no backing file, no snapshots, no compression,
// 16-bit reference counts, and this order, which needs no seeking:
//
//	header | L1 table | L2 tables | refcount table | refcount blocks | data
const (
	qcowBits     = 16
	qcowCluster  = 1 << qcowBits
	qcowL2Bits   = qcowBits - 3 // entries of an L2 table
	qcowRefBits  = qcowBits - 1 // 16-bit counts in a refcount block
	qcowCopied   = 1 << 63      // reference count is exactly one
	qcowMaxTable = 32 << 20     // bytes of the L1 table that QEMU accepts
)

// qcowLayout says which cluster of the image holds what.
type qcowLayout struct {
	size                           int64
	l1, l2, refTable, refs, data   uint64 // first cluster of each part
	nL1, nL2, nRefTable, nRefs, nD uint64 // entries (nL1) or clusters
	clusters                       *roaring.Bitmap
}

// ExportQcow2 writes a disk as a qcow2 image (version 3, 64 KiB clusters, no
// backing file) from its first byte to its last, without seeking, so that w
// may be a pipe or an HTTP response. What the source's extents say is zeros
// takes no space.
func ExportQcow2(w io.Writer, src Source) error {
	l, err := layOutQcow(src)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, copySize)
	if err := l.writeTables(out); err != nil {
		return err
	}
	buf := make([]byte, qcowCluster)
	for it := l.clusters.Iterator(); it.HasNext(); {
		off := int64(it.Next()) << qcowBits
		p := buf[:min(qcowCluster, l.size-off)]
		if n, err := src.ReadAt(p, off); n < len(p) {
			return err
		}
		clear(buf[len(p):])
		if _, err := out.Write(buf); err != nil {
			return err
		}
	}
	return out.Flush()
}

func layOutQcow(src Source) (*qcowLayout, error) {
	l := &qcowLayout{size: src.Size(), clusters: roaring.New()}
	err := src.Extents(0, l.size, func(e block.Extent) bool {
		if e.State&block.ExtentZero == 0 && e.Length > 0 {
			l.clusters.AddRange(uint64(e.Offset)>>qcowBits, uint64(e.Offset+e.Length-1)>>qcowBits+1)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	guest := ceilDiv(uint64(l.size), qcowCluster)
	l.nL1 = ceilDiv(guest, 1<<qcowL2Bits)
	if l.nL1*8 > qcowMaxTable {
		return nil, fmt.Errorf("a disk of %d bytes is too large for a qcow2 image", l.size)
	}
	for b := range l.tables() {
		_ = b
		l.nL2++
	}
	l.nD = l.clusters.GetCardinality()
	fixed := 1 + ceilDiv(l.nL1*8, qcowCluster) + l.nL2 + l.nD
	for { // the counts count themselves
		all := fixed + l.nRefs + l.nRefTable
		refs := ceilDiv(all, 1<<qcowRefBits)
		table := ceilDiv(refs*8, qcowCluster)
		if refs == l.nRefs && table == l.nRefTable {
			break
		}
		l.nRefs, l.nRefTable = refs, table
	}
	l.l1 = 1
	l.l2 = l.l1 + ceilDiv(l.nL1*8, qcowCluster)
	l.refTable = l.l2 + l.nL2
	l.refs = l.refTable + l.nRefTable
	l.data = l.refs + l.nRefs
	return l, nil
}

func ceilDiv(a, b uint64) uint64 { return (a + b - 1) / b }

// tables yields the L2 tables that have an entry, by their index in L1.
func (l *qcowLayout) tables() func(yield func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for next := int64(0); next >= 0; {
			if next = l.clusters.NextValue(uint32(next)); next < 0 {
				return
			}
			t := uint64(next) >> qcowL2Bits
			if !yield(t) {
				return
			}
			if next = int64(t+1) << qcowL2Bits; next > 1<<32-1 {
				return
			}
		}
	}
}

// writeTables writes all that comes before the data.
func (l *qcowLayout) writeTables(w io.Writer) error {
	c := make([]byte, qcowCluster)
	be := binary.BigEndian
	copy(c, "QFI\xfb")
	be.PutUint32(c[4:], 3)         // version
	be.PutUint32(c[20:], qcowBits) // cluster_bits
	be.PutUint64(c[24:], uint64(l.size))
	be.PutUint32(c[36:], uint32(l.nL1))
	be.PutUint64(c[40:], l.l1<<qcowBits)
	be.PutUint64(c[48:], l.refTable<<qcowBits)
	be.PutUint32(c[56:], uint32(l.nRefTable))
	be.PutUint32(c[96:], 4)    // refcount_order: 16 bits
	be.PutUint32(c[100:], 104) // header_length; the end of extensions follows
	if _, err := w.Write(c); err != nil {
		return err
	}
	// L1: the L2 tables stand in the order of their entries.
	l1 := make([]byte, (l.l2-l.l1)<<qcowBits)
	at := l.l2
	for t := range l.tables() {
		be.PutUint64(l1[t*8:], at<<qcowBits|qcowCopied)
		at++
	}
	if _, err := w.Write(l1); err != nil {
		return err
	}
	at = l.data
	for t := range l.tables() {
		clear(c)
		for i := range uint64(1) << qcowL2Bits {
			if l.clusters.Contains(uint32(t<<qcowL2Bits | i)) {
				be.PutUint64(c[i*8:], at<<qcowBits|qcowCopied)
				at++
			}
		}
		if _, err := w.Write(c); err != nil {
			return err
		}
	}
	table := make([]byte, l.nRefTable<<qcowBits)
	for i := range l.nRefs {
		be.PutUint64(table[i*8:], (l.refs+i)<<qcowBits)
	}
	if _, err := w.Write(table); err != nil {
		return err
	}
	for left := l.data + l.nD; left > 0; {
		clear(c)
		n := min(left, 1<<qcowRefBits)
		for i := range n {
			be.PutUint16(c[i*2:], 1)
		}
		if _, err := w.Write(c); err != nil {
			return err
		}
		left -= n
	}
	return nil
}
