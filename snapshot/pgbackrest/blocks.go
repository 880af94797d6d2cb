package pgbackrest

import (
	"bytes"
	"io"
	"path"

	"github.com/zeebo/xxh3"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/pgbackrest/blockmap"
)

// A blockFile is a file of a block incremental backup: its blocks lie in super
// blocks of several backups. The map is read when the file is first read.
type blockFile struct {
	v          *vault
	stanza     stanza
	references []string // what the map counts
	name       string   // in the manifest
	mapped     piece    // where the map lies; not compressed
	size       int64
	blockSize  int64
	sumSize    int
}

func (f *blockFile) key() any { return mapKey{f.mapped.object, f.mapped.off, f.size} }

// loadMap returns the map, from memory if it is there.
func (f *blockFile) loadMap() (*blockmap.Map, error) {
	m, err := f.v.memory.get(f.key(), func() (any, int64, error) {
		data, err := f.v.fetch(f.mapped)
		if err != nil {
			return nil, 0, err
		}
		m, err := blockmap.Parse(data, f.size, f.blockSize, f.sumSize)
		if err != nil {
			return nil, 0, snapshot.Errorf(snapshot.ErrDamaged, "block map of %s, %s: %w", f.name, f.mapped, err)
		}
		return m, int64(len(data)) + 16*int64(len(m.Blocks)) + 48*int64(len(m.Supers)), nil
	})
	if err != nil {
		return nil, err
	}
	return m.(*blockmap.Map), nil
}

// piece returns where a super block lies.
func (f *blockFile) piece(s blockmap.Super) (piece, error) {
	if s.Reference >= len(f.references) {
		return piece{}, snapshot.Errorf(snapshot.ErrDamaged, "block map of %s, %s: backup %d of %d", f.name, f.mapped, s.Reference, len(f.references))
	}
	label := f.references[s.Reference]
	p := piece{off: s.Offset, size: s.Stored, coding: f.mapped.coding}
	if s.Bundle != 0 {
		p.object = f.stanza.bundle(label, s.Bundle)
	} else {
		p.object = path.Join(f.stanza.backup, label, f.name+blockSuffix)
	}
	return p, nil
}

// block returns the content of block i.
func (f *blockFile) block(m *blockmap.Map, i int) ([]byte, error) {
	b := m.Blocks[i]
	s := m.Supers[b.Super]
	p, err := f.piece(s)
	if err != nil {
		return nil, err
	}
	at := int64(b.Index) * f.blockSize
	n := min(f.blockSize, f.size-int64(i)*f.blockSize)
	if at+n > s.Size {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "block map of %s, %s: block %d at %d of a super block of %d bytes", f.name, f.mapped, i, at, s.Size)
	}
	var data []byte
	if p.plain() && s.Stored == s.Size {
		p.off, p.size = p.off+at, n // no need for the rest of it
		data, err = f.v.fetch(p)
	} else {
		var super any
		super, err = f.v.memory.get(superKey{p.object, p.off, s.Size}, func() (any, int64, error) {
			b, err := f.v.expand(p, s.Size)
			return b, int64(len(b)), err
		})
		if err == nil {
			data = super.([]byte)[at : at+n]
		}
	}
	if err != nil {
		return nil, err
	}
	sum := xxh3.Hash128(data).Bytes()
	if want := m.Sum(i); !bytes.Equal(sum[:len(want)], want) {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "block %d of %s, in %s, does not match its checksum", i, f.name, p)
	}
	return data, nil
}

func (f *blockFile) ReadAt(p []byte, off int64) (int, error) {
	m, err := f.loadMap()
	if err != nil {
		return 0, err
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at >= f.size {
			return done, io.EOF
		}
		data, err := f.block(m, int(at/f.blockSize))
		if err != nil {
			return done, err
		}
		done += copy(p[done:], data[at%f.blockSize:])
	}
	return done, nil
}

// Prefetch passes the hint on for the super blocks of the range, a few at most.
// It does nothing before the map is there.
func (f *blockFile) Prefetch(off, n int64) {
	m, ok := f.v.memory.peek(f.key()).(*blockmap.Map)
	if !ok {
		return
	}
	last, told := -1, 0
	for b := off / f.blockSize; b <= (off+n-1)/f.blockSize && b < int64(len(m.Blocks)) && told < 8; b++ {
		if super := int(m.Blocks[b].Super); super != last {
			last = super
			told++
			p, err := f.piece(m.Supers[super])
			if err != nil {
				return
			}
			if obj, err := f.v.section(p); err == nil {
				obj.Prefetch(p.off, p.size)
			}
		}
	}
}
