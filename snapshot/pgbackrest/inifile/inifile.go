// Package inifile reads pgBackRest's info files and manifests: lines of
// key=value in sections, each value in JSON, and a checksum over all of it.
//
//	[backrest]
//	backrest-format=5
//
//	[target:file]
//	pg_data/PG_VERSION={"checksum":"…","size":3,"timestamp":1795243200}
//
//	[backrest]
//	backrest-checksum="b0f6…"
//
// A key may hold the sign "=" (it may be any file's name), so a line is split
// at the first one behind which the rest is JSON. The checksum is the SHA-1 of
// the content written as one JSON object of objects, in the file's order,
// without the checksum itself (pgBackRest, src/info/info.c).
package inifile

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// Bounds on a file. A line of a manifest has some 200 bytes; one that lists
// the pages whose checksums were wrong may have more.
const (
	maxLine     = 4 << 20
	maxSections = 256
	maxSplits   = 64 // signs "=" tried in one line
)

// Format is the version of the repository's format that this package reads,
// which every pgBackRest since 2.0 writes.
const Format = 5

// Errors about the content of a file.
var (
	ErrDamaged = errors.New("damaged info file")
	ErrFormat  = errors.New("unknown format of repository")
)

func damaged(line int, format string, args ...any) error {
	return fmt.Errorf("%w: line %d: %s", ErrDamaged, line, fmt.Sprintf(format, args...))
}

// Parse reads a file and calls each with every value in turn; value is valid
// until it returns. An error of each ends the reading and is returned. What
// was told is to be believed only if Parse returns nil: the checksum is known
// at the end.
func Parse(r io.Reader, each func(section, key string, value []byte) error) error {
	p := &parser{sum: sha1.New(), each: each, seen: map[string]bool{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		p.line++
		if err := p.parse(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return damaged(p.line+1, "longer than %d bytes", maxLine)
	} else if err != nil {
		return err
	}
	return p.end()
}

type parser struct {
	each    func(section, key string, value []byte) error
	line    int
	section string
	last    bool            // in the section that holds the checksum alone
	seen    map[string]bool // sections
	keys    int             // in the section
	sum     hash.Hash
	want    string // the checksum recorded
	format  bool
}

func (p *parser) parse(line []byte) error {
	switch {
	case len(bytes.TrimSpace(line)) == 0:
		return nil
	case line[0] == '[' && line[len(line)-1] == ']':
		return p.begin(string(line[1 : len(line)-1]))
	case p.section == "":
		return damaged(p.line, "%.40q before any section", line)
	}
	key, value, ok := split(line)
	if !ok {
		return damaged(p.line, "%.80q is not a key and a value", line)
	}
	if p.section == "backrest" {
		if skip, err := p.header(key, value); skip || err != nil {
			return err
		}
	}
	if p.last {
		return damaged(p.line, "%.80q behind the end", line)
	}
	if p.keys++; p.keys > 1 {
		p.sum.Write([]byte{','})
	}
	p.sum.Write(quote(key))
	p.sum.Write([]byte{':'})
	p.sum.Write(value)
	return p.each(p.section, key, value)
}

// begin starts a section.
func (p *parser) begin(section string) error {
	if section == "backrest" && p.seen[section] && !p.last {
		p.section, p.last = section, true
		return nil
	}
	if p.last || section == "" || p.seen[section] || len(p.seen) == maxSections {
		return damaged(p.line, "section %.80q, which is empty, there already or one too many", section)
	}
	if p.section == "" {
		p.sum.Write([]byte{'{'})
	} else {
		p.sum.Write([]byte("},"))
	}
	p.section, p.keys, p.seen[section] = section, 0, true
	p.sum.Write(quote(section))
	p.sum.Write([]byte(":{"))
	return nil
}

// header reads what the file says of itself; skip means that the checksum is
// not over this line.
func (p *parser) header(key string, value []byte) (skip bool, err error) {
	switch key {
	case "backrest-checksum":
		if err := json.Unmarshal(value, &p.want); err != nil {
			return false, damaged(p.line, "the checksum is %.80q", value)
		}
		return true, nil
	case "backrest-format":
		var n int
		if err := json.Unmarshal(value, &n); err != nil {
			return false, damaged(p.line, "the format is %.80q", value)
		}
		if n != Format {
			return false, fmt.Errorf("%w: %d; this build reads format %d", ErrFormat, n, Format)
		}
		p.format = true
	}
	return false, nil
}

func (p *parser) end() error {
	if p.want == "" || !p.format {
		return fmt.Errorf("%w: no checksum or no format in it: it is empty, or not one of pgBackRest's", ErrDamaged)
	}
	p.sum.Write([]byte("}}"))
	if got := hex.EncodeToString(p.sum.Sum(nil)); got != p.want {
		return fmt.Errorf("%w: it does not match its own checksum (recorded %.8s, computed %.8s): it was changed, damaged or cut short", ErrDamaged, p.want, got)
	}
	return nil
}

// split finds the sign that parts the key from a value in JSON.
func split(line []byte) (key string, value []byte, ok bool) {
	at := 0
	for range maxSplits {
		i := bytes.IndexByte(line[at:], '=')
		if i < 0 {
			return "", nil, false
		}
		at += i
		value := line[at+1:]
		if at > 0 && len(value) > 0 && strings.IndexByte(`{["-0123456789tfn`, value[0]) >= 0 && json.Valid(value) {
			return string(line[:at]), value, true
		}
		at++
	}
	return "", nil, false
}

// quote writes a string as pgBackRest does in JSON.
func quote(s string) []byte {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
