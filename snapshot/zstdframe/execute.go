package zstdframe

// firstOffsets are the repeated offsets at a frame's beginning.
var firstOffsets = [3]uint32{1, 4, 8}

// An executor puts output together. Its fields are places in out.
type executor struct {
	out     []byte // with slack behind
	o       int    // where output goes
	low     int    // where the frame's output begins
	start   int    // matches that begin before are far's
	offsets [3]uint32

	// far takes a match, or the first bytes of it, that begins off bytes
	// before o, and that is before start. It returns how many bytes it has
	// copied; ok is false if there is nothing.
	far func(off, n int) (copied int, ok bool)
}

// run executes a block; wrong is "" or what is wrong with it.
func (x *executor) run(b *block) (wrong string) {
	limit := min(x.o+b.frame.blockMax(), len(x.out)-slack)
	switch {
	case b.err != nil:
		return b.err.Error()
	case b.kind != compressedBlock && b.size > limit-x.o:
		return "more output than there should be"
	case b.kind == rawBlock:
		x.o += copy(x.out[x.o:], b.raw.bytes())
	case b.kind == rleBlock:
		c, dst := b.raw.bytes()[0], x.out[x.o:x.o+b.size]
		for i := range dst {
			dst[i] = c
		}
		x.o += b.size
	default:
		return x.sequences(b, limit)
	}
	return ""
}

const badMatch = "a match that refers to what is not there"

// sequences executes those of a compressed block (RFC 8878, 3.1.1.4 and
// 3.1.1.5). Short pieces are copied sixteen bytes at a time, beyond their end:
// what is there is written later.
func (x *executor) sequences(b *block, limit int) (wrong string) {
	out, o, l := x.out[:limit+slack], x.o, 0
	lits := b.lits[:len(b.lits)+slack]
	r0, r1, r2 := x.offsets[0], x.offsets[1], x.offsets[2]
	for i := range b.seqs {
		s := &b.seqs[i]
		ll, ml := int(s.literals), int(s.match)
		if ll > len(lits)-slack-l || ll+ml > limit-o {
			return "sequences that copy more than there is"
		}
		if s.offset > 3 {
			r0, r1, r2 = s.offset-3, r0, r1
		} else {
			k := s.offset
			if ll == 0 {
				k++
			}
			switch k {
			case 1:
			case 2:
				r0, r1 = r1, r0
			case 3:
				r0, r1, r2 = r2, r0, r1
			default:
				r0, r1, r2 = r0-1, r0, r1
				if r0 == 0 {
					return badMatch
				}
			}
		}
		if ll <= 16 {
			*(*[16]byte)(out[o:]) = *(*[16]byte)(lits[l:])
		} else {
			copy(out[o:o+ll], lits[l:l+ll])
		}
		o += ll
		l += ll
		off := int(r0)
		from := o - off
		if from < x.start {
			x.o = o
			n, ok := x.far(off, ml)
			if !ok {
				return badMatch
			}
			if o, ml, from = o+n, ml-n, from+n; ml == 0 {
				continue
			}
		}
		switch {
		case off >= 16 && ml <= 32:
			*(*[16]byte)(out[o:]) = *(*[16]byte)(out[from:])
			if ml > 16 {
				*(*[16]byte)(out[o+16:]) = *(*[16]byte)(out[from+16:])
			}
			o += ml
		case off >= ml:
			copy(out[o:o+ml], out[from:from+ml])
			o += ml
		default: // what is copied is copied again
			for end := o + ml; o < end; {
				o += copy(out[o:end], out[from:o])
			}
		}
	}
	rest := lits[l : len(lits)-slack]
	if len(rest) > limit-o {
		return "more literals than there is room for"
	}
	x.o = o + copy(out[o:], rest)
	x.offsets = [3]uint32{r0, r1, r2}
	return ""
}
