package zstdframe

import (
	"encoding/binary"
	"slices"
)

// unit is the size of the pieces in which a window is kept, in bytes: matches
// are short, and lie close to each other.
const unit = 16

// marks are the units of a window that matches referred to. A unit's number
// counts from the window's end backwards.
type marks struct {
	bits []uint64
	n    int // units that are marked
}

// add marks n bytes, of which the first is distance bytes before the window's
// end.
func (m *marks) add(distance, n int) {
	near, far := (distance-n)/unit, (distance-1)/unit
	for len(m.bits) <= far/64 {
		m.bits = append(m.bits, 0)
	}
	for u := near; u <= far; u++ {
		if bit := uint64(1) << (u % 64); m.bits[u/64]&bit == 0 {
			m.bits[u/64] |= bit
			m.n++
		}
	}
}

func (m *marks) reset() { m.bits, m.n = m.bits[:0], 0 }

// A run is a piece of a window: its first byte's distance from the end, and
// its length.
type run struct{ distance, n int }

// runs returns the pieces that are marked, the farthest first, of a window of
// reach bytes.
func (m *marks) runs(reach int) (list []run) {
	set := func(u int) bool { return m.bits[u/64]>>(u%64)&1 != 0 }
	for u := len(m.bits)*64 - 1; u >= 0; u-- {
		if m.bits[u/64] == 0 {
			u &^= 63
			continue
		}
		if !set(u) {
			continue
		}
		far := u
		for u > 0 && set(u-1) {
			u--
		}
		distance := min((far+1)*unit, reach)
		list = append(list, run{distance, distance - u*unit})
	}
	return list
}

// A state is what decoding goes on with inside a frame.
type state struct {
	frame   *frame
	tables  tables
	offsets [3]uint32
}

// How a distribution is written down.
const (
	noDist = iota
	predefinedDist
	rleDistribution
	describedDist // and its length
)

// appendState writes a state and the marked pieces of the window, which ends
// with history.
func appendState(b []byte, s *state, runs []run, history []byte) []byte {
	b = binary.AppendUvarint(b, uint64(s.frame.window))
	sum := byte(0)
	if s.frame.sum {
		sum = 1
	}
	b = append(b, sum)
	for _, off := range s.offsets {
		b = binary.AppendUvarint(b, uint64(off))
	}
	b = binary.AppendUvarint(b, uint64(len(s.tables.tree)))
	b = append(b, s.tables.tree...)
	for kind, d := range s.tables.dists {
		switch {
		case d == nil:
			b = append(b, noDist)
		case d == predefined[kind]:
			b = append(b, predefinedDist)
		case d.rle:
			b = append(b, rleDistribution, d.symbol)
		default:
			b = binary.AppendUvarint(b, describedDist+uint64(len(d.desc)))
			b = append(b, d.desc...)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(runs)))
	end := 0 // of the piece before, as a distance
	for i, r := range runs {
		if i == 0 {
			end = r.distance
			b = binary.AppendUvarint(b, uint64(end))
		} else {
			b = binary.AppendUvarint(b, uint64(end-r.distance))
		}
		b = binary.AppendUvarint(b, uint64(r.n))
		end = r.distance - r.n
	}
	for _, r := range runs {
		at := len(history) - r.distance
		b = append(b, history[at:at+r.n]...)
	}
	return b
}

// A reader of what appendState wrote. After an error bad is set, and numbers
// are 0.
type stateReader struct {
	b   []byte
	bad bool
}

// number reads one of at most limit.
func (r *stateReader) number(limit int) int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > uint64(limit) {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *stateReader) bytes(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// readState reads what appendState wrote; ok is false if it did not.
func readState(b []byte) (s *state, w *window, ok bool) {
	r := &stateReader{b: b}
	s = &state{frame: &frame{content: -1}}
	s.frame.window = int64(r.number(MaxWindow))
	s.frame.sum = r.number(1) == 1
	for i := range s.offsets {
		s.offsets[i] = uint32(r.number(1<<32 - 1))
		r.bad = r.bad || s.offsets[i] == 0
	}
	s.tables.tree = r.bytes(r.number(maxTree))
	if len(s.tables.tree) == 0 {
		s.tables.tree = nil
	}
	for kind := range kinds {
		var err error
		d := &s.tables.dists[kind]
		switch n := r.number(1 << 10); n {
		case noDist:
		case predefinedDist:
			*d = predefined[kind]
		case rleDistribution:
			if c := r.bytes(1); c != nil {
				*d, err = rleDist(kind, c[0])
			}
		default:
			*d, _, err = readDist(kind, r.bytes(n-describedDist))
		}
		r.bad = r.bad || err != nil
	}
	// A piece takes two bytes or more.
	w = &window{runs: make([]run, r.number(len(r.b)/2))}
	end := 0
	w.at = make([]int, len(w.runs))
	sum := 0
	for i := range w.runs {
		distance := 0
		if i == 0 {
			distance = r.number(MaxWindow + unit)
		} else {
			distance = end - r.number(end)
		}
		n := r.number(distance)
		w.runs[i], w.at[i] = run{distance, n}, sum
		end, sum = distance-n, sum+n
	}
	w.data = r.b
	return s, w, !r.bad && sum == len(r.b)
}

// A window is what is kept of one.
type window struct {
	runs []run // the farthest first
	at   []int // of each in data
	data []byte
}

// copy copies to dst what begins distance bytes before the window's end, as
// far as dst or the window goes.
func (w *window) copy(dst []byte, distance int) (n int, ok bool) {
	// the first one that begins nearer to the end, and the one before it
	i, _ := slices.BinarySearchFunc(w.runs, distance, func(r run, d int) int {
		if r.distance >= d {
			return -1
		}
		return 1
	})
	if i--; i < 0 {
		return 0, false
	}
	r := w.runs[i]
	skip := r.distance - distance
	if n = min(len(dst), distance); skip+n > r.n {
		return 0, false
	}
	return copy(dst[:n], w.data[w.at[i]+skip:]), true
}
