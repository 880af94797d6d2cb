package inflate

import "encoding/binary"

// codes decodes symbols of a block with codes until limit or the block's end.
// It is where the time is spent: positions are in local variables, the input
// is looked at eight bytes at a time, and what a symbol needs of it is made
// available once, not bit by bit.
func (d *decoder) codes(out []byte, o, low, limit int) (int, error) {
	if d.pos > len(d.in)-inSlop {
		if err := d.fill(); err != nil {
			return o, err
		}
	}
	in, pos, bits, nbits := d.in, d.pos, d.bits, d.nbits
	lit, dist := &d.cur.lit, &d.cur.dist
	last := len(in) - inSlop
	var wrong string

	for o < limit && pos <= last {
		bits |= binary.LittleEndian.Uint64(in[pos:]) << (nbits & 63)
		pos += int((63 - nbits) >> 3)
		nbits |= 56

		// Up to three literals of one level need 33 bits, of two 45.
		e := lit[bits&(1<<litBits-1)]
		if e&entryLiteral != 0 {
			out[o] = byte(e >> 16)
			o++
			bits >>= e & 63
			nbits -= uint(e & 63)
			e = lit[bits&(1<<litBits-1)]
			if e&entryLiteral != 0 {
				out[o] = byte(e >> 16)
				o++
				bits >>= e & 63
				nbits -= uint(e & 63)
				e = lit[bits&(1<<litBits-1)]
				if e&entryLiteral != 0 {
					out[o] = byte(e >> 16)
					o++
					bits >>= e & 63
					nbits -= uint(e & 63)
					continue
				}
			}
			bits |= binary.LittleEndian.Uint64(in[pos:]) << (nbits & 63)
			pos += int((63 - nbits) >> 3)
			nbits |= 56
		}
		if e&entryOther != 0 {
			if e&entrySub != 0 {
				bits >>= litBits
				nbits -= litBits
				i := uint64(e>>16) + bits&(1<<(e>>8&15)-1)
				if i >= litSize {
					wrong = "a code that stands for nothing"
					break
				}
				e = lit[i]
				if e&entryLiteral != 0 {
					out[o] = byte(e >> 16)
					o++
					bits >>= e & 63
					nbits -= uint(e & 63)
					continue
				}
			}
			if e&entryOther != 0 {
				if e&entryEnd == 0 {
					wrong = "a code that stands for nothing"
					break
				}
				bits >>= e & 15
				nbits -= uint(e & 15)
				d.endOfBlock()
				break
			}
		}
		// A length: its code and up to 5 extra bits; 36 bits are left then.
		length := int(e>>16) + int(bits&(1<<(e&63)-1)>>(e>>8&15))
		bits >>= e & 63
		nbits -= uint(e & 63)

		e = dist[bits&(1<<distBits-1)]
		if e&entryOther != 0 {
			bits >>= distBits
			nbits -= distBits
			i := uint64(e>>16) + bits&(1<<(e>>8&15)-1)
			if e&entrySub == 0 || i >= distSize {
				wrong = "a distance that stands for nothing"
				break
			}
			if e = dist[i]; e&entryOther != 0 {
				wrong = "a distance that stands for nothing"
				break
			}
		}
		back := int(e>>16) + int(bits&(1<<(e&63)-1)>>(e>>8&15))
		bits >>= e & 63
		nbits -= uint(e & 63)
		from := o - back
		if from < low {
			wrong = "a match that refers to what was before the beginning"
			break
		}
		end := o + length
		switch {
		case back >= 8:
			if length > 64 && back >= length {
				copy(out[o:end], out[from:])
				break
			}
			for o < end {
				binary.LittleEndian.PutUint64(out[o:], binary.LittleEndian.Uint64(out[from:]))
				o, from = o+8, from+8
			}
		case back == 1:
			v := uint64(out[from]) * 0x0101010101010101
			for o < end {
				binary.LittleEndian.PutUint64(out[o:], v)
				o += 8
			}
		default:
			for i := range min(length, 8) {
				out[o+i] = out[from+i]
			}
			o += 8
			step := (7/back + 1) * back // a multiple of the period, at least 8
			for o < end {
				binary.LittleEndian.PutUint64(out[o:], binary.LittleEndian.Uint64(out[o-step:]))
				o += 8
			}
		}
		o = end
	}
	d.pos, d.bits, d.nbits = pos, bits, nbits
	if wrong != "" && !d.overrun() {
		return o, d.corrupt(wrong)
	}
	return o, nil
}
