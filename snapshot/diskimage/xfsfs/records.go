package xfsfs

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/snapview/snapview/snapshot"
)

// errTorn is a record that was not written whole.
var errTorn = errors.New("the record does not match its checksum")

// data reads and verifies what a record holds, with the words back in their
// places that its header keeps.
func (j *journal) data(r *recordHeader) ([]byte, error) {
	switch {
	case r.length == 0:
		return nil, broken("the record at sector %d is empty: %w", r.at, errTorn)
	case be.Uint32(r.raw[300:]) != 1:
		return nil, unsupported("the log was written by a host of another byte order: mount the disk there once, and unmount it")
	}
	b, err := j.read(r.at+1, r.sectors()-1)
	if err != nil {
		return nil, err
	}
	more, data := b[:(r.headers-1)*sector], b[(r.headers-1)*sector:]
	if sum := le.Uint32(r.raw[32:]); sum != 0 || j.f.v5 {
		// The header's size, as hosts of 32 and of 64 bits count it.
		if !bytes.Equal(r.sum(328, more, data), r.raw[32:36]) && !bytes.Equal(r.sum(324, more, data), r.raw[32:36]) {
			return nil, broken("the record at sector %d: %w", r.at, errTorn)
		}
	}
	for i := range int64(len(data)) / sector {
		const words = headerCover / sector
		word := r.raw[44+4*(i%words):]
		if i >= words {
			header := i/words - 1
			if header >= r.headers-1 {
				return nil, broken("the record at sector %d has too few headers", r.at)
			}
			word = more[header*sector+4+4*(i%words):]
		}
		copy(data[i*sector:][:4], word[:4])
	}
	return data[:r.length], nil
}

// sum is the checksum of a record whose first header has a size.
func (r *recordHeader) sum(size int, more, data []byte) []byte {
	sum := crc32.Update(0, castagnoli, r.raw[:32])
	sum = crc32.Update(sum, castagnoli, []byte{0, 0, 0, 0})
	sum = crc32.Update(sum, castagnoli, r.raw[36:size])
	// Of the other headers those are in it that data needs.
	for left := r.length - headerCover; left > 0 && len(more) > 0; left, more = left-headerCover, more[sector:] {
		sum = crc32.Update(sum, castagnoli, more[:4+4*(headerCover/sector)])
	}
	return le.AppendUint32(nil, crc32.Update(sum, castagnoli, data[:r.length]))
}

// walk goes over the records from tail to head. at tells which one is being
// read, for what to do about an error.
func (j *journal) walk(tail, head int64, at *int64, each func(*recordHeader, []byte) error) error {
	left := j.distance(tail, head)
	for *at = tail; left > 0; {
		r, err := j.header(*at)
		if err != nil {
			return err
		}
		if r.sectors() > left {
			return broken("the record at sector %d is longer than the log: %w", r.at, errTorn)
		}
		b, err := j.data(r)
		if err != nil {
			return err
		}
		if each != nil {
			if err := each(r, b); err != nil {
				return err
			}
		}
		*at, left = j.ring(r.at+r.sectors()), left-r.sectors()
	}
	return nil
}

// ends finds where the log begins and ends; clean is a log that was emptied by
// unmounting, or never written.
func (j *journal) ends() (tail, head int64, clean bool, err error) {
	head, empty, err := j.cut()
	if err != nil || empty {
		return 0, 0, true, err
	}
	// The cut may be inside of a record that was not written to its end.
	last, err := j.headerBefore(head, min(j.n, maxRecord/sector+inFlight))
	if err != nil {
		return 0, 0, false, err
	}
	if last == nil {
		return 0, 0, false, broken("no record ends at its head, sector %d", head)
	}
	if j.ring(last.at+last.sectors()) != head {
		head = last.at
	}
	return j.verify(head)
}

// verify finds the last record before the head that is whole, and the tail by
// what that says. Damage among the records that may have been in flight is what
// a power failure leaves; elsewhere it is an error.
func (j *journal) verify(head int64) (tail, end int64, clean bool, err error) {
	last, err := j.headerBefore(head, j.n)
	if err != nil {
		return 0, 0, false, err
	}
	if last == nil {
		return 0, 0, false, broken("it has no record")
	}
	if clean, err := j.unmounted(last, head); clean || err != nil {
		return 0, 0, clean, err
	}
	tail = int64(uint32(last.tail))
	if tail >= j.n {
		return 0, 0, false, broken("its tail is at sector %d of %d", tail, j.n)
	}
	// As many as may have been in flight, but none before the tail.
	first := last
	for range inFlight - 1 {
		if first.at == tail {
			break
		}
		r, err := j.headerBefore(first.at, j.distance(tail, first.at))
		if err != nil {
			return 0, 0, false, err
		}
		if r == nil {
			break
		}
		first = r
	}
	var bad int64
	err = j.walk(first.at, head, &bad, nil)
	if torn(err) {
		damage := err
		if bad == tail {
			return 0, 0, false, broken("no record before its head is whole: %w", damage)
		}
		if last, err = j.headerBefore(bad, j.distance(tail, bad)); err != nil {
			return 0, 0, false, err
		}
		if last == nil {
			return 0, 0, false, broken("no record before its head is whole: %w", damage)
		}
		j.f.torn = fmt.Sprintf("%d sectors of the log, %v", j.distance(bad, head), damage)
		head = bad
		if clean, err := j.unmounted(last, head); clean || err != nil {
			return 0, 0, clean, err
		}
		if tail = int64(uint32(last.tail)); tail >= j.n || tail == head {
			return 0, 0, false, broken("its tail is at sector %d of %d, its head at %d", tail, j.n, head)
		}
	} else if err != nil {
		return 0, 0, false, err
	}
	tail, err = j.wholeFrom(tail, head, inFlight*last.size/sector)
	return tail, head, false, err
}

func torn(err error) bool { return errors.Is(err, errTorn) || errors.Is(err, snapshot.ErrDamaged) }

// wholeFrom verifies the log. What was in flight may have overwritten the
// records at the tail, which were in their places by then: so the tail is moved
// forward over what is not whole, but only where the head is so near behind it.
func (j *journal) wholeFrom(tail, head, reach int64) (int64, error) {
	var err error
	for range 2 * inFlight {
		var bad int64
		err = j.walk(tail, head, &bad, nil)
		if err == nil || !torn(err) || j.distance(head, bad) > reach {
			return tail, err
		}
		next, found := j.headerAfter(bad, j.distance(bad, head))
		if !found {
			break
		}
		tail = next
	}
	return 0, broken("no record behind its tail is whole: %w", err)
}

// unmounted says whether a record, the last before the head, is what unmounting
// writes.
func (j *journal) unmounted(r *recordHeader, head int64) (bool, error) {
	if r.ops != 1 || j.ring(r.at+r.sectors()) != head {
		return false, nil
	}
	b, err := j.read(r.at+r.headers, 1)
	return err == nil && b[9]&opUnmount != 0, err
}
