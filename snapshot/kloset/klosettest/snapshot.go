package klosettest

import (
	"cmp"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/snapview/snapview/snapshot/kloset/format"
)

// A Snapshot is what is to be stored.
type Snapshot struct {
	Name  string
	Time  time.Time
	Files []File
}

// A File is one name of a snapshot.
type File struct {
	Path    string // absolute
	Mode    fs.FileMode
	ModTime time.Time
	Size    int64
	Link    string // target; Mode may be that of a regular file, as the importer of tars has it
	Open    func() (io.ReadCloser, error)
}

// Text is a file with the given content.
func Text(path, content string) File {
	return File{Path: path, Mode: 0o600, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(content)), nil
	}}
}

// Dir lists a directory of this host as an import would that calls it prefix:
// "/" or an absolute path. Parents are listed as well.
func Dir(dir, prefix string) ([]File, error) {
	var files []File
	for at := path.Dir(prefix); prefix != "/"; at = path.Dir(at) {
		files = append(files, File{Path: at, Mode: fs.ModeDir | 0o755})
		if at == "/" {
			break
		}
	}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		f := File{Path: path.Join(prefix, rel), Mode: info.Mode(), ModTime: info.ModTime()}
		switch {
		case info.Mode().IsRegular():
			f.Size = info.Size()
			f.Open = func() (io.ReadCloser, error) { return os.Open(name) }
		case info.Mode().Type() == fs.ModeSymlink:
			f.Link, err = os.Readlink(name)
		}
		files = append(files, f)
		return err
	})
	return files, err
}

// Snapshot stores a snapshot and writes the state that publishes it.
func (w *Writer) Snapshot(s Snapshot) (format.MAC, error) {
	id, err := w.write(s)
	if err != nil {
		return id, err
	}
	return id, w.Flush()
}

// The records, with the names that kloset's have.
type (
	chunkRecord struct {
		Version    uint32   `msgpack:"version"`
		ContentMAC [32]byte `msgpack:"contentMAC"`
		Length     uint32   `msgpack:"length"`
		Entropy    float64  `msgpack:"entropy"`
	}
	objectRecord struct {
		Version    uint32        `msgpack:"version"`
		ContentMAC [32]byte      `msgpack:"contentMAC"`
		Chunks     []chunkRecord `msgpack:"chunks"`
	}
	infoRecord struct {
		Name    string    `msgpack:"name"`
		Size    int64     `msgpack:"size"`
		Mode    uint32    `msgpack:"mode"`
		ModTime time.Time `msgpack:"mod_time"`
		UID     uint64    `msgpack:"uid"`
	}
	entryRecord struct {
		Version uint32     `msgpack:"version"`
		Parent  string     `msgpack:"parent_path"`
		Info    infoRecord `msgpack:"file_info"`
		Summary *int       `msgpack:"summary"`
		Link    string     `msgpack:"symlink_target,omitempty"`
		Object  [32]byte   `msgpack:"object,omitempty"`
		Tags    []string   `msgpack:"tags,omitempty"`
	}
	nodeRecord struct {
		Keys     []string    `msgpack:"keys"`
		Pointers [][32]byte  `msgpack:"pointers"`
		Values   [][32]byte  `msgpack:"values"`
		Next     *format.MAC `msgpack:"next,omitempty"`
	}
)

func (w *Writer) write(s Snapshot) (id format.MAC, err error) {
	files := slices.Clone(s.Files)
	slices.SortFunc(files, func(a, b File) int {
		return cmp.Or(strings.Count(a.Path, "/")-strings.Count(b.Path, "/"), strings.Compare(a.Path, b.Path))
	})
	var leaf nodeRecord
	var leaves []nodeRecord
	for _, f := range files {
		m, err := w.entryOf(f)
		if err != nil {
			return id, err
		}
		leaf.Keys, leaf.Values = append(leaf.Keys, f.Path), append(leaf.Values, m)
		if len(leaf.Keys) == order/2 {
			leaves, leaf = append(leaves, leaf), nodeRecord{}
		}
	}
	root, err := w.tree(append(leaves, leaf))
	if err != nil {
		return id, err
	}
	if _, err := rand.Read(id[:]); err != nil {
		return id, err
	}
	return id, w.Header(id, s, root)
}

// order is the B+ tree's; plakar's nodes are filled as half as this, too.
const order = 50

// tree stores the nodes from the leaves up and returns the tree's name.
func (w *Writer) tree(level []nodeRecord) (format.MAC, error) {
	for {
		var up []nodeRecord
		var node nodeRecord
		for i := range level {
			b, err := msgpack.Marshal(level[i])
			if err != nil {
				return format.MAC{}, err
			}
			m, err := w.put(format.TypeNode, b)
			if err != nil {
				return m, err
			}
			if len(level) == 1 {
				return w.record(format.TypeTree, struct {
					Version, Order, Count int
					Root                  format.MAC
				}{1 << 16, order, 0, m})
			}
			if len(node.Pointers) > 0 {
				node.Keys = append(node.Keys, firstKey(&level[i]))
			}
			node.Pointers = append(node.Pointers, m)
			if len(node.Pointers) == order/2 && i < len(level)-2 {
				up, node = append(up, node), nodeRecord{}
			}
		}
		level = append(up, node)
	}
}

func firstKey(n *nodeRecord) string {
	if len(n.Keys) == 0 {
		return ""
	}
	return n.Keys[0]
}

func (w *Writer) record(t format.Type, v any) (format.MAC, error) {
	b, err := msgpack.Marshal(v)
	if err != nil {
		return format.MAC{}, err
	}
	return w.put(t, b)
}

// Header stores the header of a snapshot with the given tree.
func (w *Writer) Header(id format.MAC, s Snapshot, root format.MAC) error {
	var bytes, files uint64
	for _, f := range s.Files {
		bytes += uint64(f.Size)
		if f.Mode.IsRegular() {
			files++
		}
	}
	b, err := msgpack.Marshal(map[string]any{
		"version": 1 << 16, "identifier": id, "timestamp": s.Time, "name": s.Name, "tags": []string{"nightly"},
		"sources": []any{map[string]any{
			"importer": map[string]string{"type": "fs", "directory": "/"},
			"root":     map[string]format.MAC{"root": root},
			"summary":  map[string]any{"directory": map[string]uint64{"files": files, "size": bytes}, "below": map[string]uint64{}},
		}},
	})
	if err != nil {
		return err
	}
	return w.putAs(format.TypeSnapshot, id, b)
}

// entryOf stores a file with its content.
func (w *Writer) entryOf(f File) (m format.MAC, err error) {
	e := entryRecord{Version: 1 << 16, Parent: path.Dir(f.Path), Link: f.Link, Info: infoRecord{
		Name: path.Base(f.Path), Size: f.Size, Mode: uint32(f.Mode), ModTime: f.ModTime, UID: 999,
	}}
	if f.Open != nil {
		o, err := w.object(f)
		if err != nil {
			return m, err
		}
		if e.Object, err = w.record(format.TypeObject, o); err != nil {
			return m, err
		}
	}
	return w.record(format.TypeEntry, e)
}

// object cuts a file into chunks and stores them.
func (w *Writer) object(f File) (o objectRecord, err error) {
	r, err := f.Open()
	if err != nil {
		return o, err
	}
	defer r.Close()
	o.Version = 1 << 16
	if w.buffer == nil {
		w.buffer = make([]byte, 2*w.opts.Chunk)
	}
	for {
		b := w.buffer[:w.opts.Chunk/2+w.rnd.Int64N(w.opts.Chunk*3/2)]
		n, err := io.ReadFull(r, b)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return o, err
		}
		if n > 0 {
			m, err := w.put(format.TypeChunk, b[:n])
			if err != nil {
				return o, err
			}
			if w.ShortenChunks > 0 {
				n = min(n, w.ShortenChunks)
			}
			o.Chunks = append(o.Chunks, chunkRecord{1 << 16, m, uint32(n), 1.5})
		}
		if err != nil {
			return o, nil
		}
	}
}
