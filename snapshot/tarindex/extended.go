package tarindex

import (
	"bytes"
	"strconv"
	"strings"
)

// pax reads the records "length key=value\n" of an extended header.
func (s *scanner) pax(global bool, size int64) error {
	b, err := s.extended(size, "an extended header")
	if err != nil {
		return err
	}
	for len(b) > 0 && b[0] != 0 {
		sp := bytes.IndexByte(b[:min(len(b), 20)], ' ')
		if sp < 0 {
			return s.damaged("extended header: a record without its length")
		}
		n, err := strconv.Atoi(string(b[:sp]))
		if err != nil || n <= sp+1 || n > len(b) || b[n-1] != '\n' {
			return s.damaged("extended header: a record of impossible length %.20q", b[:sp])
		}
		key, value, ok := strings.Cut(string(b[sp+1:n-1]), "=")
		if !ok {
			return s.damaged("extended header: a record without a value: %.40q", key)
		}
		b = b[n:]
		switch {
		case key == "GNU.sparse.offset" || key == "GNU.sparse.numbytes":
			if len(s.sparse) >= 2*maxSegments {
				return s.damaged("more than %d parts of a sparse file", maxSegments)
			}
			s.sparse = append(s.sparse, value)
		case global && strings.HasPrefix(key, "GNU.sparse."):
			return s.damaged("a sparse map in a global header")
		case global:
			s.global[key] = value
		default:
			s.next[key] = value
		}
	}
	if global {
		s.first = s.off
	}
	return nil
}

// sparseMap fills m's size and segments if the member is a sparse file. start
// is moved past a map that precedes the data; size is the data's size in the
// archive, such a map included.
func (s *scanner) sparseMap(h *header, m *Member, start *int64, size int64) (bool, error) {
	switch {
	case h.b[156] == 'S':
		return true, s.sparseOld(h, m)
	case s.next["GNU.sparse.major"] == "1" && s.next["GNU.sparse.minor"] == "0":
		if err := s.sparseSize(m, "GNU.sparse.realsize"); err != nil {
			return true, err
		}
		return true, s.sparse10(m, start, size)
	case s.next["GNU.sparse.major"] != "" && s.next["GNU.sparse.major"] != "0":
		return true, s.damaged("member %s: sparse format %.20s is unknown", m.Name, s.next["GNU.sparse.major"])
	case s.next["GNU.sparse.map"] != "":
		if err := s.sparseSize(m, "GNU.sparse.size"); err != nil {
			return true, err
		}
		return true, s.segments(m, strings.Split(s.next["GNU.sparse.map"], ","))
	case s.next["GNU.sparse.size"] != "":
		if err := s.sparseSize(m, "GNU.sparse.size"); err != nil {
			return true, err
		}
		return true, s.segments(m, s.sparse)
	}
	return false, nil
}

func (s *scanner) sparseSize(m *Member, key string) error {
	n, err := decimal(s.next[key])
	if err != nil || n > maxSize {
		return s.damaged("member %s: impossible %s %.40q", m.Name, key, s.next[key])
	}
	m.Size = n
	return nil
}

// segments takes pairs of offset and length.
func (s *scanner) segments(m *Member, numbers []string) error {
	if len(numbers)%2 != 0 || len(numbers) > 2*maxSegments {
		return s.damaged("member %s: sparse map with %d numbers", m.Name, len(numbers))
	}
	for i := 0; i < len(numbers); i += 2 {
		off, err1 := decimal(numbers[i])
		n, err2 := decimal(numbers[i+1])
		if err1 != nil || err2 != nil {
			return s.damaged("member %s: sparse map with %.20q, %.20q", m.Name, numbers[i], numbers[i+1])
		}
		m.Segments = append(m.Segments, Segment{Offset: off, Length: n})
	}
	return nil
}

// sparse10 reads the map of format 1.0, decimal numbers on lines of their own
// in front of the data, padded to a block.
func (s *scanner) sparse10(m *Member, start *int64, size int64) error {
	var buf []byte
	line := func() (string, error) {
		for {
			if i := bytes.IndexByte(buf, '\n'); i >= 0 {
				v := string(buf[:i])
				buf = buf[i+1:]
				return v, nil
			}
			if len(buf) > 20 || *start+blockSize > s.off+(size+blockSize-1)/blockSize*blockSize {
				return "", s.damaged("member %s: its sparse map has no end", m.Name)
			}
			b := make([]byte, blockSize)
			if err := s.read(b, *start, "a sparse map"); err != nil {
				return "", err
			}
			*start += blockSize
			buf = append(buf, b...)
		}
	}
	v, err := line()
	if err != nil {
		return err
	}
	n, err := decimal(v)
	if err != nil || n > maxSegments {
		return s.damaged("member %s: sparse map of %.20q parts", m.Name, v)
	}
	var numbers []string
	for range 2 * n {
		if v, err = line(); err != nil {
			return err
		}
		numbers = append(numbers, v)
	}
	return s.segments(m, numbers)
}

// sparseOld reads the map of GNU's old format: four parts in the header, 21 in
// each extension block that follows.
func (s *scanner) sparseOld(h *header, m *Member) error {
	n, err := h.number(483, 12)
	if err != nil || n < 0 || n > maxSize {
		return s.damaged("member %s: impossible size of a sparse file", m.Name)
	}
	m.Size = n
	parts, more := 4, h.b[482] != 0
	at := 386
	for {
		for range parts {
			if h.b[at] == 0 {
				break
			}
			off, err1 := h.number(at, 12)
			n, err2 := h.number(at+12, 12)
			if err1 != nil || err2 != nil || off < 0 || n < 0 || len(m.Segments) >= maxSegments {
				return s.damaged("member %s: impossible sparse map", m.Name)
			}
			m.Segments = append(m.Segments, Segment{Offset: off, Length: n})
			at += 24
		}
		if !more {
			return nil
		}
		h = &header{}
		if err := s.read(h.b[:], s.off, "a sparse map"); err != nil {
			return err
		}
		s.off += blockSize
		parts, at, more = 21, 0, h.b[504] != 0
	}
}
