package web

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// When a batch of rows leaves, whichever comes first.
const (
	batchRows  = 500
	batchBytes = 256 << 10
	batchDelay = 100 * time.Millisecond
)

// A frameWriter writes a query's stream: one JSON value per line. Rows are
// gathered into batches; a goroutine sends a batch that waits too long for its
// next row. Its methods may be called concurrently.
type frameWriter struct {
	out     *flusher
	maxCell int

	mu    sync.Mutex
	buf   []byte
	rows  int       // in buf
	since time.Time // of the first row in buf
	err   error     // of the client; final

	stop chan struct{}
	done chan struct{}
}

func newFrameWriter(out *flusher, maxCell int) *frameWriter {
	f := &frameWriter{out: out, maxCell: maxCell, stop: make(chan struct{}), done: make(chan struct{})}
	go f.sendLate()
	return f
}

func (f *frameWriter) sendLate() {
	defer close(f.done)
	tick := time.NewTicker(batchDelay)
	defer tick.Stop()
	for {
		select {
		case <-f.stop:
			return
		case now := <-tick.C:
			f.mu.Lock()
			if f.rows > 0 && now.Sub(f.since) >= batchDelay {
				f.flushRows()
			}
			f.mu.Unlock()
		}
	}
}

// close ends the goroutine. It sends nothing.
func (f *frameWriter) close() {
	close(f.stop)
	<-f.done
}

// A batch begins with how many rows it has, so that a client can keep the line
// as it came and read it when somebody looks at those rows. The number is known
// when the batch is full; the spaces before it are white space to JSON.
const (
	countPrefix = `{"count":    ` // as wide as batchRows, and a digit more
	rowsPrefix  = countPrefix + `,"rows":[`
)

// row adds one row; a nil value is NULL. The values are copied.
func (f *frameWriter) row(values [][]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if f.rows == 0 {
		f.buf = append(f.buf[:0], rowsPrefix...)
		f.since = time.Now()
	} else {
		f.buf = append(f.buf, ',')
	}
	f.buf = appendRow(f.buf, values, f.maxCell)
	f.rows++
	if f.rows >= batchRows || len(f.buf) >= batchBytes {
		f.flushRows()
	}
	return f.err
}

func (f *frameWriter) flushRows() {
	if f.rows == 0 || f.err != nil {
		return
	}
	f.buf = append(f.buf, "]}\n"...)
	digits := strconv.Itoa(f.rows)
	copy(f.buf[len(countPrefix)-len(digits):], digits)
	f.err = f.out.write(f.buf)
	f.rows = 0
	if cap(f.buf) > 8*batchBytes {
		f.buf = nil // one huge row must not be paid for until the end
	}
}

// frame sends what is gathered, and then any other frame.
func (f *frameWriter) frame(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flushRows()
	if f.err == nil {
		f.err = f.out.write(append(line, '\n'))
	}
	return f.err
}

func appendRow(dst []byte, values [][]byte, maxCell int) []byte {
	dst = append(dst, '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch {
		case v == nil:
			dst = append(dst, "null"...)
		case len(v) > maxCell:
			dst = appendCut(dst, v[:cutPoint(v, maxCell)], int64(len(v)))
		default:
			dst = appendString(dst, v)
		}
	}
	return append(dst, ']')
}

func appendCut(dst, begin []byte, length int64) []byte {
	dst = append(dst, `{"cut":`...)
	dst = appendString(dst, begin)
	dst = append(dst, `,"bytes":`...)
	dst = strconv.AppendInt(dst, length, 10)
	return append(dst, '}')
}

// cutPoint returns where to cut v at n bytes or a little before, so that no
// character is cut in two.
func cutPoint(v []byte, n int) int {
	for i := n; i > n-utf8.UTFMax && i > 0; i-- {
		if utf8.RuneStart(v[i]) {
			return i
		}
	}
	return n
}

const hexDigits = "0123456789abcdef"

// appendString appends v as a JSON string. What is not UTF-8, which a database
// of encoding SQL_ASCII may hold, becomes U+FFFD.
func appendString(dst, v []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(v); {
		b := v[i]
		if b >= 0x20 && b != '"' && b != '\\' && b < utf8.RuneSelf {
			i++
			continue
		}
		if b >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(v[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, v[start:i]...)
				dst = append(dst, "\ufffd"...)
				i++
				start = i
				continue
			}
			i += size
			continue
		}
		dst = append(dst, v[start:i]...)
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
		i++
		start = i
	}
	dst = append(dst, v[start:]...)
	return append(dst, '"')
}

func validText(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
