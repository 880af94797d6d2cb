package tarindex

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path"
	"strings"
	"time"

	"github.com/snapview/snapview/snapshot"
)

// BlockSize is what headers take and what data is padded to, bytes.
const BlockSize = blockSize

const (
	blockSize = 512

	// Bounds on untrusted input.
	maxExtended = 1 << 20 // of a PAX header or a GNU long name, bytes
	maxSegments = 1 << 18 // of one sparse file
	maxSize     = 1 << 60 // of a member, bytes
)

// Type of a member.
type Type byte

// The types of members that are reported.
const (
	File Type = iota
	Dir
	Symlink
	Hardlink
)

// A Member is one entry of the archive, in the order of the archive.
type Member struct {
	Name     string // clean, relative: no "./", no trailing slash, "." for the root
	Type     Type
	Size     int64 // of the file, holes included
	Perm     uint32
	ModTime  time.Time
	Link     string    // target: as written for Symlink, clean as Name for Hardlink
	Header   int64     // offset of the member's (first) header
	Segments []Segment // of a File: where its data lies; gaps are zeros
}

// A Segment is a run of a file's bytes that the archive holds.
type Segment struct {
	Offset int64 // in the file
	Length int64
	At     int64 // in the archive
}

// A Result says how the archive ended.
type Result struct {
	Members int
	// EndMark is true if the two blocks of zeros were there that end an
	// archive; without them it may have been cut between two members.
	EndMark bool
}

type scanner struct {
	r    io.ReaderAt
	size int64
	name string // of the archive, for errors

	off    int64 // of the next header
	first  int64 // of the first header of the current member
	global map[string]string
	next   map[string]string // PAX records for the next member
	sparse []string          // GNU.sparse.offset and numbytes in order (format 0.0)
	long   string            // GNU long name
	link   string            // GNU long link
	block  [blockSize]byte
}

// Scan calls each for every member of the archive in r, which has size bytes
// and is called name in errors. An error of each ends the scan.
func Scan(ctx context.Context, r io.ReaderAt, size int64, name string, each func(Member) error) (Result, error) {
	s := &scanner{r: r, size: size, name: name, global: map[string]string{}}
	var res Result
	s.reset()
	for {
		if err := ctx.Err(); err != nil {
			return res, err
		}
		if s.off >= s.size {
			if s.pending() {
				return res, s.damaged("the archive ends after an extended header")
			}
			return res, nil
		}
		h, err := s.header()
		if err != nil {
			return res, err
		}
		if h == nil {
			if s.pending() {
				return res, s.damaged("the archive ends after an extended header")
			}
			res.EndMark = true
			return res, nil
		}
		m, ok, err := s.member(h)
		if err != nil {
			return res, err
		}
		if !ok {
			continue
		}
		if res.Members++; res.Members > snapshot.MaxFiles {
			return res, snapshot.Errorf(snapshot.ErrUnsafe, "%s: more than %d members", name, snapshot.MaxFiles)
		}
		if err := each(m); err != nil {
			return res, err
		}
	}
}

func (s *scanner) reset() {
	s.next, s.sparse, s.long, s.link = map[string]string{}, nil, "", ""
	s.first = s.off
}

func (s *scanner) pending() bool { return len(s.next) > 0 || s.long != "" || s.link != "" }

func (s *scanner) damaged(format string, args ...any) error {
	return snapshot.Errorf(snapshot.ErrDamaged, "%s at offset %d: "+format, append([]any{s.name, s.first}, args...)...)
}

// read fills b from the archive at off.
func (s *scanner) read(b []byte, off int64, what string) error {
	n, err := s.r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return s.damaged("cut short inside %s: %d bytes at %d, the archive has %d", what, len(b), off, s.size)
	}
	return err
}

// header reads the header block at s.off; nil at the end mark.
func (s *scanner) header() (*header, error) {
	if s.size-s.off < blockSize {
		return nil, s.damaged("cut short inside a header: the archive has %d bytes, which is no multiple of 512", s.size)
	}
	if err := s.read(s.block[:], s.off, "a header"); err != nil {
		return nil, err
	}
	if allZero(s.block[:]) {
		return nil, nil
	}
	h := &header{b: s.block}
	if err := h.verify(); err != nil {
		return nil, s.damaged("%v", err)
	}
	s.off += blockSize
	return h, nil
}

func allZero(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// member turns a header into a member, or takes note of an extended header and
// returns false. s.off moves past the member's data.
func (s *scanner) member(h *header) (m Member, ok bool, err error) {
	size, err := h.number(124, 12)
	if err != nil || size < 0 || size > maxSize {
		return m, false, s.damaged("impossible size in the header of %.100q", h.text(0, 100))
	}
	switch h.b[156] {
	case 'x', 'g':
		return m, false, s.pax(h.b[156] == 'g', size)
	case 'L', 'K':
		v, err := s.extended(size, "a long name")
		if err != nil {
			return m, false, err
		}
		text, _, _ := strings.Cut(string(v), "\x00")
		if h.b[156] == 'L' {
			s.long = text
		} else {
			s.link = text
		}
		return m, false, nil
	}
	m.Header = s.first
	if m, ok, err = s.plain(h, m, size); err != nil {
		return m, false, err
	}
	s.reset()
	return m, ok, nil
}

// extended reads the data of an extended header and moves past it.
func (s *scanner) extended(size int64, what string) ([]byte, error) {
	if size > maxExtended {
		return nil, s.damaged("%s of %d bytes, at most %d are taken", what, size, maxExtended)
	}
	b := make([]byte, size)
	if err := s.read(b, s.off, what); err != nil {
		return nil, err
	}
	s.off += (size + blockSize - 1) / blockSize * blockSize
	return b, nil
}

// record returns a PAX record that holds for the current member.
func (s *scanner) record(key string) string {
	if v, ok := s.next[key]; ok {
		return v
	}
	return s.global[key]
}

func (s *scanner) plain(h *header, m Member, size int64) (Member, bool, error) {
	m.Name, m.Link = h.name(), h.text(157, 100)
	if s.long != "" {
		m.Name = s.long
	}
	if s.link != "" {
		m.Link = s.link
	}
	if v := s.record("path"); v != "" {
		m.Name = v
	}
	if v := s.record("linkpath"); v != "" {
		m.Link = v
	}
	if v := s.record("size"); v != "" {
		n, err := decimal(v)
		if err != nil || n > maxSize {
			return m, false, s.damaged("%.100q: impossible size %.40q", m.Name, v)
		}
		size = n
	}
	if v := s.record("GNU.sparse.name"); v != "" {
		m.Name = v
	}
	mode, _ := h.number(100, 8)
	m.Perm = uint32(mode) & 0o777
	m.ModTime = s.modTime(h)

	slash := strings.HasSuffix(m.Name, "/")
	name, err := cleanName(m.Name)
	if err != nil {
		return m, false, snapshot.Errorf(snapshot.ErrUnsafe, "%s at offset %d: %w", s.name, s.first, err)
	}
	m.Name = name

	switch t := h.b[156]; t {
	case '0', 0, '7':
		if slash { // V7 marks directories so
			m.Type = Dir
			return m, true, s.skip(m.Name, size)
		}
		return s.file(h, m, size)
	case 'S':
		return s.file(h, m, size)
	case '1':
		m.Type = Hardlink
		if m.Link, err = cleanName(m.Link); err != nil {
			return m, false, snapshot.Errorf(snapshot.ErrUnsafe, "%s at offset %d: hard link of %s: %w", s.name, s.first, m.Name, err)
		}
		return m, true, s.skip(m.Name, size)
	case '2':
		m.Type = Symlink
		return m, true, nil
	case '5':
		m.Type = Dir
		return m, true, s.skip(m.Name, size)
	case 'D': // GNU incremental: a directory with the list of its files
		m.Type = Dir
		return m, true, s.skip(m.Name, size)
	case 'V': // volume label
		return m, false, s.skip(m.Name, size)
	case '3', '4', '6':
		kind := map[byte]string{'3': "a character device", '4': "a block device", '6': "a FIFO"}[t]
		return m, false, snapshot.Errorf(snapshot.ErrUnsafe, "%s: member %s is %s, which no data directory holds", s.name, m.Name, kind)
	case 'M':
		return m, false, snapshot.Errorf(snapshot.ErrUnsupported, "%s: a volume of a multi-volume archive (member %s continues)", s.name, m.Name)
	default:
		return m, false, snapshot.Errorf(snapshot.ErrUnsupported, "%s: member %s has the unknown type %q", s.name, m.Name, t)
	}
}

// skip moves past size bytes of data, which must be there.
func (s *scanner) skip(name string, size int64) error {
	if size > s.size-s.off {
		return s.damaged("cut short: member %s should have %d bytes from offset %d, the archive has %d", name, size, s.off, s.size)
	}
	s.off = min(s.off+(size+blockSize-1)/blockSize*blockSize, s.size)
	return nil
}

// file finds a regular file's data.
func (s *scanner) file(h *header, m Member, size int64) (Member, bool, error) {
	start := s.off
	m.Size = size
	sparse, err := s.sparseMap(h, &m, &start, size)
	if err != nil {
		return m, false, err
	}
	end := s.off // the old sparse format's extension headers come before the data
	if sparse && h.b[156] == 'S' {
		start = end
	}
	if err := s.skip(m.Name, size); err != nil {
		return m, false, err
	}
	if !sparse {
		if size > 0 {
			m.Segments = []Segment{{0, size, start}}
		}
		return m, true, nil
	}
	return m, true, s.place(&m, start, end+size)
}

// place gives the segments of a sparse file their offsets in the archive, in
// which they follow each other from start on and must end by limit.
func (s *scanner) place(m *Member, start, limit int64) error {
	at, last := start, int64(0)
	kept := m.Segments[:0]
	for _, g := range m.Segments {
		if g.Offset < last || g.Length < 0 || g.Offset > m.Size-g.Length || g.Length > limit-at {
			return s.damaged("member %s: impossible sparse map (%d bytes at %d of %d)", m.Name, g.Length, g.Offset, m.Size)
		}
		g.At = at
		at, last = at+g.Length, g.Offset+g.Length
		if g.Length > 0 {
			kept = append(kept, g)
		}
	}
	m.Segments = kept
	return nil
}

func (s *scanner) modTime(h *header) time.Time {
	if v := s.record("mtime"); v != "" {
		if t, ok := paxTime(v); ok {
			return t
		}
	}
	n, err := h.number(136, 12)
	if err != nil || n < 0 || n > 1<<40 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

// cleanName makes a member's name relative and free of ".", or refuses it.
func cleanName(name string) (string, error) {
	if name == "" || len(name) > snapshot.MaxPath || strings.ContainsRune(name, 0) {
		return "", errors.New("a member has no name, or an impossible one")
	}
	if strings.HasPrefix(name, "/") {
		return "", errors.New("member " + name + " has an absolute name")
	}
	for elem := range strings.SplitSeq(name, "/") {
		if elem == ".." {
			return "", errors.New("member " + name + " leads out of the archive")
		}
	}
	return path.Clean(name), nil
}
