package cow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// GCResult says what GC removed.
type GCResult struct {
	Removed []LayerID `json:"removed"`
	Freed   int64     `json:"freed_bytes"` // as du counts
}

// GC removes the layers that nothing needs. Needed is a layer that an Overlay of
// some process has open, that a reference names, that is a checkpoint with a
// name, that is damaged (Discard removes it), or that lies below a needed one.
// GC also clears what a crash left half made.
func (s *Store) GC() (GCResult, error) {
	var res GCResult
	unlock, err := s.lock()
	if err != nil {
		return res, err
	}
	defer unlock()
	t, err := s.readTree()
	if err != nil {
		return res, err
	}
	needed := make(map[LayerID]bool)
	open := make(map[LayerID]bool)
	for id, n := range t.nodes {
		if open[id], err = s.isOpen(id); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return res, err
		}
		if !(open[id] || n.info.Damage != "" || len(n.info.Refs) > 0 || n.info.Sealed && n.info.Name != "") {
			continue
		}
		for at := id; t.nodes[at] != nil && !needed[at]; at = t.nodes[at].info.Parent {
			needed[at] = true
		}
	}
	for i := len(t.order) - 1; i >= 0; i-- { // children first
		id := t.order[i]
		if needed[id] {
			continue
		}
		if err := s.removeLayer(id); err != nil {
			return res, err
		}
		res.Removed = append(res.Removed, id)
		res.Freed += t.nodes[id].info.Allocated + t.nodes[id].info.Metadata
	}
	for _, path := range t.stray {
		// An overlay that is writing its map anew needs its file.
		name := strings.TrimSuffix(filepath.Base(path), mapSuffix+tmpSuffix)
		if id, err := ParseLayerID(name); err == nil && open[id] {
			continue
		}
		if fi, err := os.Lstat(path); err == nil && fi.Mode().IsRegular() {
			res.Freed += allocatedBytes(fi)
			if err := os.Remove(path); err != nil {
				return res, err
			}
		}
	}
	// A merge that was interrupted leaves blocks in a layer's data that its
	// map does not know.
	for id, n := range t.nodes {
		if needed[id] && !open[id] && n.info.Damage == "" && n.info.Sealed && n.info.Allocated > n.info.Held {
			freed, err := s.clearMerge(n.m)
			if err != nil {
				return res, err
			}
			res.Freed += freed
		}
	}
	return res, syncDir(filepath.Join(s.dir, layersDir))
}

// clearMerge frees what an interrupted merge left in a sealed layer's data.
func (s *Store) clearMerge(m *layerMap) (freed int64, err error) {
	f, err := s.openData(m.id, unix.O_RDWR)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if ok, err := tryLock(f, unix.LOCK_EX); err != nil || !ok {
		return 0, err
	}
	return s.reclaimSealed(m, f)
}

// Discard removes a layer and everything above it. Nothing is removed when any
// of them is open in some process or has a reference: ErrInUse.
func (s *Store) Discard(id LayerID) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	t, err := s.readTree()
	if err != nil {
		return err
	}
	if t.nodes[id] == nil {
		return fmt.Errorf("layer %s in overlay store %s: %w", id, s.dir, ErrNotFound)
	}
	branch := []LayerID{id}
	t.visit(id, func(c LayerID) { branch = append(branch, c) })
	for _, b := range branch {
		if refs := t.nodes[b].info.Refs; len(refs) > 0 {
			return fmt.Errorf("layer %s in overlay store %s: %w: %s above it has the reference %q", id, s.dir, ErrInUse, b, refs[0])
		}
		if open, err := s.isOpen(b); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		} else if open {
			return fmt.Errorf("layer %s in overlay store %s: %w: an overlay has %s open, close it first", id, s.dir, ErrInUse, b)
		}
	}
	for i := len(branch) - 1; i >= 0; i-- {
		if err := s.removeLayer(branch[i]); err != nil {
			return err
		}
	}
	return syncDir(filepath.Join(s.dir, layersDir))
}

// removeLayer removes a layer's files, the map first: without it the layer does
// not exist, and GC clears the rest.
func (s *Store) removeLayer(id LayerID) error {
	for _, path := range []string{s.mapPath(id), s.dataPath(id)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	s.account.remove(id)
	return nil
}
