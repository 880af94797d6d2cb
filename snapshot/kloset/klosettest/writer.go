// Package klosettest writes Kloset stores for tests and benchmarks, with the
// MessagePack library that Plakar uses and from the same description as the
// reader: what both understand in the same wrong way it cannot find. That is
// what the fixtures are for, which plakar wrote.
//
// Differences from what plakar writes: files are cut at random places of the
// same sizes instead of where their content says; packfiles have no index and
// snapshots no summaries, which reading does not need.
package klosettest

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/snapview/snapview/snapshot/kloset/format"
)

// Options of a store. The zero value is one in plain text, compressed by LZ4.
type Options struct {
	Passphrase  string // encrypts the store
	KDF         string // ARGON2ID, SCRYPT or PBKDF2; PBKDF2 if empty
	Effort      bool   // Argon2id takes as much time and memory as Plakar's, not as little as it can
	Compression string // LZ4, GZIP, ZSTD or none; LZ4 if empty
	SHA256      bool   // instead of BLAKE3
	Chunk       int64  // mean size of chunks, bytes; 1 MiB if 0, as Plakar's
	Pack        int64  // size of packfiles, bytes; 64 MiB if 0, as Plakar's
	OldState    bool   // states of format 1.0, without parents
}

// A Writer writes one store. It is not for concurrent use.
type Writer struct {
	// ShortenChunks, if not 0, is the length that longer chunks are said to
	// have: a lie.
	ShortenChunks int

	opts   Options
	single bool   // everything goes into one packfile
	dir    string // of a store of many files
	config []byte // CONFIG as stored
	secret *secret
	buffer []byte // of a chunk
	hasher *format.Hasher
	rnd    *mathrand.Rand

	open    [2]*pack         // being written: for chunks and objects, and for names, as plakar keeps them apart
	have    map[blobKey]bool // deduplication
	state   bytes.Buffer     // entries of the state being written
	parent  format.MAC
	packs   []*pack // finished since the last state
	newPack func() (*pack, error)
}

type blobKey struct {
	t format.Type
	m format.MAC
}

// Create makes a store of many files in dir, which must not exist.
func Create(dir string, o Options) (*Writer, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	w, err := newWriter(o)
	if err != nil {
		return nil, err
	}
	w.dir = dir
	w.newPack = func() (*pack, error) {
		var name format.MAC
		if _, err := rand.Read(name[:]); err != nil {
			return nil, err
		}
		f, err := w.create("packfiles", name)
		if err != nil {
			return nil, err
		}
		return w.startPack(f, f, name)
	}
	for _, sub := range []string{"states", "packfiles", "locks"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	return w, os.WriteFile(filepath.Join(dir, "CONFIG"), w.config, 0o600)
}

func (w *Writer) create(kind string, m format.MAC) (*os.File, error) {
	s := m.String()
	if err := os.MkdirAll(filepath.Join(w.dir, kind, s[:2]), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(w.dir, kind, s[:2], s), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}

// Ptar writes a store of one snapshot into one file.
func Ptar(file string, o Options, s Snapshot) (id format.MAC, err error) {
	w, err := newWriter(o)
	if err != nil {
		return id, err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return id, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	head := binary.LittleEndian.AppendUint32([]byte(format.PtarMagic), 1<<16)
	if _, err := f.Write(append(head, w.config...)); err != nil {
		return id, err
	}
	start := int64(len(head) + len(w.config))
	w.opts.Pack, w.single = 1<<60, true
	w.newPack = func() (*pack, error) { return w.startPack(f, nil, format.MAC{1, 2, 3}) }
	if id, err = w.write(s); err != nil {
		return id, err
	}
	if err := w.endPack(0); err != nil {
		return id, err
	}
	packLen := w.packs[0].size
	state, _, err := w.stateFile()
	if err != nil {
		return id, err
	}
	for _, v := range []int64{int64(len(head)), int64(len(w.config)), start, packLen, start + packLen, int64(len(state))} {
		state = binary.LittleEndian.AppendUint64(state, uint64(v))
	}
	_, err = f.Write(state)
	return id, err
}

func newWriter(o Options) (*Writer, error) {
	if o.Compression == "" {
		o.Compression = "LZ4"
	}
	if o.Chunk == 0 {
		o.Chunk = 1 << 20
	}
	if o.Pack == 0 {
		o.Pack = 64 << 20
	}
	w := &Writer{opts: o, have: map[blobKey]bool{}, rnd: mathrand.New(mathrand.NewPCG(1, 2))}
	return w, w.configure()
}

// pack is a packfile being written.
type pack struct {
	name format.MAC
	w    io.Writer
	file io.Closer
	hash hash.Hash
	size int64 // bytes written, the header included
}

func (w *Writer) startPack(to io.Writer, file io.Closer, name format.MAC) (*pack, error) {
	p := &pack{name: name, w: to, file: file, hash: w.hasher.New()}
	return p, p.write(header(format.TypePackfile, 0x10000))
}

func (p *pack) write(b []byte) error {
	p.hash.Write(b)
	n, err := p.w.Write(b)
	p.size += int64(n)
	return err
}

// endPack finishes one of the packfiles being written, if there is one.
func (w *Writer) endPack(which int) error {
	p := w.open[which]
	if p == nil {
		return nil
	}
	w.open[which] = nil
	w.packs = append(w.packs, p)
	n, err := p.w.Write(p.hash.Sum(nil))
	p.size += int64(n)
	if p.file != nil {
		err = errors.Join(err, p.file.Close())
	}
	return err
}

// put stores a blob under its MAC.
func (w *Writer) put(t format.Type, plain []byte) (format.MAC, error) {
	m := w.hasher.Sum(plain)
	return m, w.putAs(t, m, plain)
}

func (w *Writer) putAs(t format.Type, m format.MAC, plain []byte) error {
	if w.have[blobKey{t, m}] {
		return nil
	}
	w.have[blobKey{t, m}] = true
	blob, err := w.encode(plain)
	if err != nil {
		return err
	}
	which := 1
	if t == format.TypeChunk || t == format.TypeObject || w.single {
		which = 0
	}
	if p := w.open[which]; p != nil && p.size+int64(len(blob)) > w.opts.Pack {
		if err := w.endPack(which); err != nil {
			return err
		}
	}
	if w.open[which] == nil {
		if w.open[which], err = w.newPack(); err != nil {
			return err
		}
	}
	p := w.open[which]
	w.Location(t, m, p.name, p.size-format.HeaderSize, len(blob))
	return p.write(blob)
}

// MAC returns the name that a blob with the given content has.
func (w *Writer) MAC(plain []byte) format.MAC { return w.hasher.Sum(plain) }

// Location adds an entry to the next state; tests use it for lies.
func (w *Writer) Location(t format.Type, m, packfile format.MAC, off int64, n int) {
	b := []byte{byte(t), 0, 0, 1, 0}
	b = append(append(b, m[:]...), packfile[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(off))
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	w.entry(2, append(b, 0, 0, 0, 0))
}

func (w *Writer) entry(kind byte, body []byte) {
	w.state.WriteByte(kind)
	w.state.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(body))))
	w.state.Write(body)
}

// Pack says in the next state that there is a packfile of that name.
func (w *Writer) Pack(name format.MAC) { w.packs = append(w.packs, &pack{name: name}) }

// Delete marks a snapshot as deleted.
func (w *Writer) Delete(id format.MAC) error {
	b := append([]byte{byte(format.TypeSnapshot)}, id[:]...)
	w.entry(3, binary.LittleEndian.AppendUint64(b, 1))
	return w.Flush()
}

// Forget takes a blob's place out of the index again.
func (w *Writer) Forget(t format.Type, m, packfile format.MAC) error {
	w.entry(6, append(append([]byte{2, byte(t)}, m[:]...), packfile[:]...))
	return w.Flush()
}

// Flush finishes the packfile and writes a state with what is new.
func (w *Writer) Flush() error {
	if err := errors.Join(w.endPack(0), w.endPack(1)); err != nil {
		return err
	}
	raw, name, err := w.stateFile()
	if err != nil {
		return err
	}
	f, err := w.create("states", name)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	return errors.Join(err, f.Close())
}

// stateFile is the state with what is new, and its name.
func (w *Writer) stateFile() (raw []byte, name format.MAC, err error) {
	for _, p := range w.packs {
		b := append(p.name[:], make([]byte, len(name))...)
		w.entry(4, binary.LittleEndian.AppendUint64(b, 1))
	}
	w.packs = nil
	w.entry(5, []byte{1, 'k', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}) // a setting
	w.entry(77, []byte("of a later version"))
	version, content := format.Version(0x10100), w.parent[:]
	if w.opts.OldState {
		version, content = 0x10000, nil
	}
	content = append(append([]byte{}, content...), w.state.Bytes()...)
	content = append(append(content, 1), make([]byte, 4+8+16)...)
	w.state.Reset()
	blob, err := w.encode(content)
	if err != nil {
		return nil, name, err
	}
	raw = append(header(format.TypeState, version), blob...)
	name = w.hasher.Sum(raw)
	w.parent = name
	return append(raw, name[:]...), name, nil
}

func header(t format.Type, v format.Version) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("_KLOSET_"), uint32(t))
	return binary.LittleEndian.AppendUint32(b, uint32(v))
}

// configure makes CONFIG.
func (w *Writer) configure() error {
	type named struct{ Algorithm string }
	c := struct {
		Timestamp    time.Time
		RepositoryID [16]byte
		Chunking     map[string]int64
		Hashing      named
		Compression  *named
		Encryption   *encryption
	}{
		Timestamp: time.Now(), Chunking: map[string]int64{"MinSize": w.opts.Chunk / 2, "MaxSize": 8 * w.opts.Chunk},
		Hashing: named{format.BLAKE3},
	}
	if _, err := rand.Read(c.RepositoryID[:]); err != nil {
		return err
	}
	if w.opts.SHA256 {
		c.Hashing.Algorithm = format.SHA256
	}
	if w.opts.Compression != "none" {
		c.Compression = &named{w.opts.Compression}
	}
	var key []byte
	if w.opts.Passphrase != "" {
		var err error
		if w.secret, err = newSecret(w.opts); err != nil {
			return err
		}
		key, c.Encryption = w.secret.key, &w.secret.config
	}
	payload, err := msgpack.Marshal(c)
	if err != nil {
		return err
	}
	h, err := format.ConfigHash(key)
	if err != nil {
		return err
	}
	if w.hasher, err = format.NewHasher(c.Hashing.Algorithm, key, c.RepositoryID); err != nil {
		return fmt.Errorf("hasher: %w", err)
	}
	raw := append(header(format.TypeConfig, 0x10000), payload...)
	h.Write(raw)
	w.config = h.Sum(raw)
	return nil
}
