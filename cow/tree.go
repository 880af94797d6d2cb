package cow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// LayerInfo describes one layer of a store. Sizes are in bytes.
type LayerInfo struct {
	ID        LayerID   `json:"id"`
	Parent    LayerID   `json:"parent"`
	Name      string    `json:"name"` // of the checkpoint; empty for tops
	Sealed    bool      `json:"sealed"`
	Created   time.Time `json:"created"`
	SealedAt  time.Time `json:"sealed_at,omitzero"`
	Held      int64     `json:"held_bytes"` // as of the last Sync
	Zero      int64     `json:"zero_bytes"`
	Allocated int64     `json:"allocated_bytes"`    // of the data file, as du counts
	Metadata  int64     `json:"metadata_bytes"`     // of the map file, as du counts
	Open      bool      `json:"open"`               // some Overlay writes it now
	Refs      []string  `json:"refs,omitempty"`     // references to this very layer
	Damage    string    `json:"damage,omitempty"`   // why it cannot be opened
	Children  []LayerID `json:"children,omitempty"` // the older first
}

// Layers returns the store's layers, parents before children, older before
// newer. A layer whose metadata is damaged is listed with its damage, and as if
// it lay over the base.
func (s *Store) Layers() ([]LayerInfo, error) {
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	t, err := s.readTree()
	if err != nil {
		return nil, err
	}
	var list []LayerInfo
	for _, id := range t.order {
		n := t.nodes[id]
		n.info.Children = t.children[id]
		n.info.Open, err = s.isOpen(id)
		if err != nil && n.info.Damage == "" {
			n.info.Damage = err.Error()
		}
		list = append(list, n.info)
	}
	return list, nil
}

// node is a layer in a tree; m is nil for one that is damaged.
type node struct {
	info LayerInfo
	m    *layerMap
}

// tree is what a store holds at a moment. Its maker keeps the store locked.
type tree struct {
	nodes    map[LayerID]*node
	children map[LayerID][]LayerID
	order    []LayerID // parents first
	refs     map[string]LayerID
	stray    []string // files that no layer's map accounts for
}

// readTree reads all maps and references. The store is locked.
func (s *Store) readTree() (*tree, error) {
	t := &tree{nodes: make(map[LayerID]*node), children: make(map[LayerID][]LayerID)}
	dir := filepath.Join(s.dir, layersDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), mapSuffix)
		id, err := ParseLayerID(base)
		if !ok || err != nil || id.IsBase() {
			continue
		}
		n := &node{info: LayerInfo{ID: id}}
		t.nodes[id] = n
		if fi, err := e.Info(); err == nil {
			n.info.Metadata = allocatedBytes(fi)
		}
		if fi, err := os.Stat(s.dataPath(id)); err == nil {
			n.info.Allocated = allocatedBytes(fi)
		} else {
			n.info.Damage = fmt.Sprintf("data of layer %s: %v", id, err)
		}
		m, err := s.readLayer(id)
		if err != nil {
			n.info.Damage = err.Error()
			continue
		}
		n.m = m
		n.info.Parent, n.info.Name, n.info.Sealed = m.parent, m.name, m.sealed
		n.info.Created, n.info.SealedAt = m.created, m.seal.at
		n.info.Held = int64(m.held.GetCardinality()) * BlockSize
		n.info.Zero = int64(m.zero.GetCardinality()) * BlockSize
	}
	for _, e := range entries {
		id, err := ParseLayerID(strings.TrimSuffix(e.Name(), datSuffix))
		if err == nil && t.nodes[id] != nil || strings.HasSuffix(e.Name(), mapSuffix) {
			continue
		}
		t.stray = append(t.stray, filepath.Join(dir, e.Name()))
	}
	for id, n := range t.nodes {
		p := n.info.Parent
		if !p.IsBase() && t.nodes[p] == nil && n.info.Damage == "" {
			n.info.Damage = fmt.Sprintf("layer %s: its parent %s is missing", id, p)
		}
		t.children[p] = append(t.children[p], id)
	}
	for _, ids := range t.children {
		sort.Slice(ids, func(i, j int) bool { return string(ids[i][:]) < string(ids[j][:]) })
	}
	t.visit(LayerID{}, func(id LayerID) { t.order = append(t.order, id) })
	// Those whose parent is missing, with what lies above them.
	var lost []LayerID
	for p, ids := range t.children {
		if !p.IsBase() && t.nodes[p] == nil {
			lost = append(lost, ids...)
		}
	}
	sort.Slice(lost, func(i, j int) bool { return string(lost[i][:]) < string(lost[j][:]) })
	for _, id := range lost {
		t.order = append(t.order, id)
		t.visit(id, func(id LayerID) { t.order = append(t.order, id) })
	}
	if t.refs, err = s.readRefs(); err != nil {
		return nil, err
	}
	for name, id := range t.refs {
		if n := t.nodes[id]; n != nil {
			n.info.Refs = append(n.info.Refs, name)
			sort.Strings(n.info.Refs)
		}
	}
	return t, nil
}

// visit calls f for all layers above id, parents first.
func (t *tree) visit(id LayerID, f func(LayerID)) {
	for _, c := range t.children[id] {
		f(c)
		t.visit(c, f)
	}
}

// isOpen reports whether an Overlay of any process has the layer as its top.
func (s *Store) isOpen(id LayerID) (bool, error) {
	f, err := openRaw(s.dataPath(id), unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer f.Close()
	free, err := tryLock(f, unix.LOCK_SH)
	return err == nil && !free, err
}

// SetRef makes name refer to a layer, which keeps the layer and all below it
// from GC and Discard until the reference is removed: the zero LayerID does so.
// Names may have letters, digits and "._-", at most 255 bytes.
func (s *Store) SetRef(name string, id LayerID) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if !id.IsBase() {
		if _, err := s.readLayer(id); err != nil {
			return err
		}
	}
	return s.setRef(name, id)
}

// setRef is SetRef with the store locked.
func (s *Store) setRef(name string, id LayerID) error {
	if !validRef(name) {
		return fmt.Errorf("reference name %q: use letters, digits and ._- only, at most %d bytes, no leading dot", name, maxName)
	}
	path := filepath.Join(s.dir, refsDir, name)
	if id.IsBase() {
		err := os.Remove(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return syncDir(filepath.Dir(path))
	}
	return putFile(path, []byte(id.String()+"\n"), func() error { return nil })
}

func validRef(name string) bool {
	if name == "" || len(name) > maxName-len(tmpSuffix) || name[0] == '.' || strings.HasSuffix(name, tmpSuffix) {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// readRefs returns all references. One that cannot be read is an error: GC must
// not take what it may have kept.
func (s *Store) readRefs() (map[string]LayerID, error) {
	dir := filepath.Join(s.dir, refsDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	refs := make(map[string]LayerID)
	for _, e := range entries {
		if !validRef(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		id, err := ParseLayerID(strings.TrimSuffix(string(b), "\n"))
		if err != nil || id.IsBase() {
			return nil, &DamageError{path, 0, "not the id of a layer"}
		}
		refs[e.Name()] = id
	}
	return refs, nil
}

// Ref returns the layer that a reference names, or ErrNotFound.
func (s *Store) Ref(name string) (LayerID, error) {
	refs, err := s.readRefs()
	if err != nil {
		return LayerID{}, err
	}
	id, ok := refs[name]
	if !ok {
		return LayerID{}, fmt.Errorf("reference %q in overlay store %s: %w", name, s.dir, ErrNotFound)
	}
	return id, nil
}
