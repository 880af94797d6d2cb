// Package auditlog appends records to a file, one line of JSON each, and keeps
// the file readable when the disk is full.
//
// A line is written whole or not at all: in one write, and what a write that
// fails in the middle leaves is cut off again. Where it cannot be (a pipe, a file
// that may only be appended to), the next line begins on a new one, so that one
// record is broken and no two are merged; so it is after a process that died in
// the middle. Processes that share a file take turns by a lock on it (flock).
//
// A record that cannot be written is lost, and counted. The caller is not held
// up. Once the file takes lines again, the first says how many are missing, since
// when and why: the file itself shows that it has a gap.
package auditlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// complainEvery is how often it is said that records are lost while they are, so
// that a thousand statements do not make a thousand lines elsewhere.
const complainEvery = time.Minute

// file is what a Log needs of an *os.File.
type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Stat() (os.FileInfo, error)
	Fd() uintptr
}

// A Log is a file of records. Its methods may be called concurrently.
type Log struct {
	complain func(error)
	now      func() time.Time

	mu         sync.Mutex
	file       file
	torn       bool // the file ends in the middle of a line
	lost       int64
	gap        gap
	complained time.Time
}

// A gap is what was lost since the last line that was written.
type gap struct {
	records      int64
	since, until time.Time
	why          error // nil: nothing was lost
	told         bool  // that it began
}

// missing is the record that stands where others are not.
type missing struct {
	Time    time.Time `json:"time"` // of the first
	Kind    string    `json:"kind"` // "lost"
	Records int64     `json:"records"`
	Until   time.Time `json:"until"` // of the last
	Outcome string    `json:"outcome"`
	Error   string    `json:"error"`
}

// Open opens a file for appending, or makes it for its owner alone. complain is
// told when records are lost, once and then at most once a minute, and when they
// are written again; it must not call the Log.
func Open(name string, complain func(error)) (*Log, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the audit log: %w", err)
	}
	return &Log{file: f, torn: endsInALine(name), complain: complain, now: time.Now}, nil
}

// endsInALine says whether a file's last byte is not the end of a line.
func endsInALine(name string) bool {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	f, err := os.Open(name)
	if err != nil {
		return true // not to be read: an empty line harms nobody
	}
	defer f.Close()
	last := make([]byte, 1)
	_, err = f.ReadAt(last, info.Size()-1)
	return err != nil || last[0] != '\n'
}

// Append writes a record. When it cannot, the record is lost; see State.
func (l *Log) Append(record any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	err := l.write(append(l.missing(), record)...)
	if err == nil {
		l.closeGap()
		return
	}
	if l.gap.why == nil {
		l.gap.since = now
	}
	l.lost++
	l.gap.records++
	l.gap.until, l.gap.why = now, err
	if l.complained.IsZero() || now.Sub(l.complained) >= complainEvery {
		l.complained, l.gap.told = now, true
		l.complain(fmt.Errorf("the audit log cannot be written: %w; statements go on, and %d of them are not in it since %s",
			err, l.gap.records, l.gap.since.UTC().Format(time.RFC3339)))
	}
}

// missing returns the record of what is missing, if anything is.
func (l *Log) missing() []any {
	if l.gap.why == nil {
		return nil
	}
	return []any{missing{
		Time: l.gap.since.UTC(), Kind: "lost", Records: l.gap.records, Until: l.gap.until.UTC(), Outcome: "failed", Error: l.gap.why.Error(),
	}}
}

// closeGap forgets what was missing, which the file has now.
func (l *Log) closeGap() {
	if l.gap.told {
		l.complain(fmt.Errorf("the audit log is written again; %d statements are not in it", l.gap.records))
	}
	l.gap = gap{}
}

// write writes a line for each record, all of them whole or none as far as the
// file lets it.
func (l *Log) write(records ...any) error {
	var lines []byte
	if l.torn {
		lines = []byte{'\n'}
	}
	for _, record := range records {
		line, err := json.Marshal(record)
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	// Best effort: what has no locks is one process's own.
	fd := int(l.file.Fd())
	if syscall.Flock(fd, syscall.LOCK_EX) == nil {
		defer syscall.Flock(fd, syscall.LOCK_UN) //nolint:errcheck // it ends with the file
	}
	before, err := l.file.Stat()
	if err != nil {
		return err
	}
	n, err := l.file.Write(lines)
	if err == nil && n < len(lines) {
		err = io.ErrShortWrite
	}
	switch {
	case err == nil:
		l.torn = false
	case n > 0:
		l.torn = !before.Mode().IsRegular() || l.file.Truncate(before.Size()) != nil || l.torn
	}
	return err
}

// State returns how many records could not be written so far, and while that goes
// on why; nil: the last one was written.
func (l *Log) State() (records int64, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost, l.gap.why
}

// Close closes the file, after a last attempt to say in it what is missing.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if last := l.missing(); last != nil {
		err = l.write(last...)
	}
	return errors.Join(err, l.file.Close())
}
