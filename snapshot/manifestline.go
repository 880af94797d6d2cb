package snapshot

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"time"
)

// The layout of a file's line as PostgreSQL writes it (AddFileToBackupManifest
// in backup/backup_manifest.c). A cluster of 100,000 tables has a million of
// these lines, and opening it reads them all.
const (
	linePath      = `{ "Path": "`
	lineSize      = `", "Size": `
	lineTime      = `, "Last-Modified": "`
	lineAlgorithm = `", "Checksum-Algorithm": "`
	lineChecksum  = `", "Checksum": "`
	lineEnd       = `" }`
)

// A manifestLines reads the lines of a manifest's files. It remembers the last
// time it parsed, which most files of a backup share with the next.
type manifestLines struct {
	timeText string
	time     time.Time
}

// file reads one line, without its comma: by hand where it is just as
// PostgreSQL writes it, as any JSON otherwise.
func (l *manifestLines) file(line []byte) (ManifestFile, error) {
	f, ok := l.plain(line)
	if !ok {
		return parseManifestFile(line)
	}
	return f, checkManifestFile(f)
}

func (l *manifestLines) plain(line []byte) (f ManifestFile, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(linePath))
	if !ok {
		return f, false
	}
	name, rest, ok := bytes.Cut(rest, []byte(lineSize))
	if !ok || !plainText(name) {
		return f, false
	}
	size, rest, ok := bytes.Cut(rest, []byte(lineTime))
	if !ok {
		return f, false
	}
	var err error
	f.Size, err = strconv.ParseInt(string(size), 10, 64)
	if err != nil || size[0] < '0' || size[0] > '9' || len(size) > 1 && size[0] == '0' {
		return f, false
	}
	f.Algorithm = "NONE"
	when, rest, ok := bytes.Cut(rest, []byte(lineAlgorithm))
	if !ok {
		// Without a checksum the time is the last of the keys.
		when, ok = bytes.CutSuffix(when, []byte(lineEnd))
	} else {
		var sum []byte
		name, tail, found := bytes.Cut(rest, []byte(lineChecksum))
		sum, ok = bytes.CutSuffix(tail, []byte(lineEnd))
		if !ok || !found || !plainText(name) {
			return f, false
		}
		f.Algorithm = algorithmName(name)
		f.Checksum = make([]byte, hex.DecodedLen(len(sum)))
		if _, err := hex.Decode(f.Checksum, sum); err != nil {
			return f, false
		}
	}
	if !ok || !plainText(when) {
		return f, false
	}
	if string(when) != l.timeText {
		l.timeText = string(when)
		l.time, _ = time.Parse(manifestTime, l.timeText)
	}
	f.Path, f.ModTime = string(name), l.time
	return f, true
}

// plainText says whether a JSON string means itself: no escapes, no quotes,
// nothing but printable ASCII.
func plainText(s []byte) bool {
	for _, c := range s {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// algorithmName is the text without an allocation for the names there are.
func algorithmName(b []byte) string {
	for _, name := range [...]string{"CRC32C", "SHA256", "SHA224", "SHA384", "SHA512", "NONE"} {
		if string(b) == name {
			return name
		}
	}
	return string(b)
}
