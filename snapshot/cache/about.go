package cache

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	aboutMagic = "snapview about 1"
	aboutFoot  = 8 + len(aboutMagic)
	maxAbout   = 64 << 10
)

// ErrNoAbout means that nothing at the end of an entry says what it is: it was
// written without, or is damaged.
var ErrNoAbout = errors.New("the entry does not say what it is")

// About says what an entry is, for people and for whoever opens it. It stands
// at the entry's end: JSON, its length and CRC-32 as little-endian u32, and a
// mark.
type About struct {
	Key    string  `json:"key"`    // of the entry; WriteAbout fills it in
	Object string  `json:"object"` // what it was made from: a path, an address
	What   string  `json:"what"`   // such as "index of gzip"
	Bytes  int64   `json:"bytes"`  // of the object
	Data   int64   `json:"data"`   // bytes that the object holds, uncompressed
	Parts  []int64 `json:"parts"`  // lengths of the entry's parts, in order
}

// WriteAbout ends the entry with what it is. Commit comes next.
func (w *Writer) WriteAbout(a About) error {
	a.Key = w.key.String()
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	foot := binary.LittleEndian.AppendUint32(b, uint32(len(b)))
	foot = binary.LittleEndian.AppendUint32(foot, crc32.ChecksumIEEE(b))
	_, err = w.Write(append(foot, aboutMagic...))
	return err
}

// ReadAbout reads what an entry is. The parts are known to lie in it, one
// behind the other.
func ReadAbout(f io.ReaderAt, size int64) (About, error) {
	var a About
	foot := make([]byte, aboutFoot)
	if size < int64(aboutFoot) {
		return a, ErrNoAbout
	}
	if n, err := f.ReadAt(foot, size-int64(aboutFoot)); n < aboutFoot {
		return a, err
	}
	n := int64(binary.LittleEndian.Uint32(foot))
	if string(foot[8:]) != aboutMagic || n > maxAbout || n > size-int64(aboutFoot) {
		return a, ErrNoAbout
	}
	b := make([]byte, n)
	if k, err := f.ReadAt(b, size-int64(aboutFoot)-n); k < len(b) {
		return a, err
	}
	if crc32.ChecksumIEEE(b) != binary.LittleEndian.Uint32(foot[4:]) || json.Unmarshal(b, &a) != nil {
		return a, ErrNoAbout
	}
	left := size - int64(aboutFoot) - n
	for _, part := range a.Parts {
		if part < 0 || part > left {
			return a, ErrNoAbout
		}
		left -= part
	}
	return a, nil
}

// An Entry is one of a store, as List shows it.
type Entry struct {
	Name  string    // of its file in the store
	Size  int64     // bytes on disk
	Used  time.Time // last
	About About     // empty if the entry does not tell
}

// List returns the entries, used last first.
func (s *Store) List() ([]Entry, error) {
	list, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, e := range list {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		entry, err := s.entry(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return b.Used.Compare(a.Used) })
	return entries, nil
}

func (s *Store) entry(name string) (Entry, error) {
	f, err := os.Open(filepath.Join(s.dir, name))
	if err != nil {
		return Entry{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Entry{}, err
	}
	a, err := ReadAbout(f, info.Size())
	if err != nil && !errors.Is(err, ErrNoAbout) {
		return Entry{}, err
	}
	return Entry{Name: name, Size: info.Size(), Used: info.ModTime(), About: a}, nil
}

// Dir returns the store's directory.
func (s *Store) Dir() string { return s.dir }

// Limit returns how many bytes the store may hold.
func (s *Store) Limit() int64 { return s.limit }

// Clear removes every entry. One that somebody reads stays readable for him,
// and one that is being written comes all the same.
func (s *Store) Clear() (entries int, bytes int64, err error) {
	list, err := s.List()
	if err != nil {
		return 0, 0, err
	}
	var errs []error
	for _, e := range list {
		err := os.Remove(filepath.Join(s.dir, e.Name))
		switch {
		case err == nil:
			entries++
			bytes += e.Size
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	return entries, bytes, errors.Join(errs...)
}
