package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"
)

// Bounds on a manifest. An entry of PostgreSQL's is one line of about 150
// bytes, with a path of at most 1024.
const (
	maxManifestLine = 64 << 10
	maxWALRanges    = 1 << 16
)

// A ManifestFile is one file that a backup_manifest lists.
type ManifestFile struct {
	Path      string // relative to PGDATA; tablespaces' below pg_tblspc/<oid>/
	Size      int64
	ModTime   time.Time
	Algorithm string // NONE, CRC32C, SHA224, SHA256, SHA384 or SHA512
	Checksum  []byte // empty for NONE
}

// A Manifest is what backup_manifest says besides its files.
type Manifest struct {
	Version   int    // 1 until PostgreSQL 16, 2 since
	SystemID  uint64 // since version 2
	WALRanges []WALRange
	Files     int
	Bytes     int64 // sum of the files' sizes
}

// ReadManifest reads a backup_manifest (PostgreSQL's documentation, "Backup
// Manifest Format") in bounded memory, calls each for every file in order, if
// it is not nil, and verifies the manifest's checksum over itself. An error
// from each ends the reading and is returned.
//
// It reads line by line as PostgreSQL writes it, since the checksum is over
// all lines but the last: a manifest reformatted by another program would not
// match it any more.
func ReadManifest(r io.Reader, each func(ManifestFile) error) (*Manifest, error) {
	m := &Manifest{}
	sum := sha256.New()
	br := bufio.NewReaderSize(r, maxManifestLine)
	damaged := func(line int, format string, args ...any) error {
		return Errorf(ErrDamaged, "backup_manifest line %d: %s", line, fmt.Sprintf(format, args...))
	}
	section, lines := "", manifestLines{}
	for n := 1; ; n++ {
		raw, err := br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return nil, damaged(n, "longer than %d bytes", maxManifestLine)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(raw) == 0 {
			return nil, damaged(n, "the file ends before Manifest-Checksum: it is cut short")
		}
		line := bytes.TrimSpace(raw)
		if bytes.HasPrefix(line, []byte(`"Manifest-Checksum"`)) {
			return m, checkManifestSum(line, sum.Sum(nil))
		}
		sum.Write(raw)
		switch {
		case n == 1:
			if v, ok := manifestVersion(line); ok {
				m.Version = v
			} else {
				return nil, damaged(n, "not a backup manifest of version 1 or 2")
			}
		case len(line) == 0:
		case bytes.HasPrefix(line, []byte(`"System-Identifier":`)):
			v := strings.TrimSuffix(strings.TrimSpace(string(line[len(`"System-Identifier":`):])), ",")
			if _, err := fmt.Sscanf(v, "%d", &m.SystemID); err != nil {
				return nil, damaged(n, "bad system identifier %.40q", v)
			}
		case bytes.HasPrefix(line, []byte(`"Files":`)):
			section = "files"
		case bytes.HasPrefix(line, []byte(`"WAL-Ranges":`)):
			section = "wal"
		case bytes.HasPrefix(line, []byte("]")):
			section = ""
		case line[0] == '{' && section == "files":
			f, err := lines.file(bytes.TrimSuffix(line, []byte(",")))
			if err != nil {
				return nil, damaged(n, "%v", err)
			}
			m.Files++
			m.Bytes += f.Size
			if each != nil {
				if err := each(f); err != nil {
					return nil, err
				}
			}
		case line[0] == '{' && section == "wal":
			w, err := parseWALRange(bytes.TrimSuffix(line, []byte(",")))
			if err != nil || len(m.WALRanges) >= maxWALRanges {
				return nil, damaged(n, "bad WAL range: %v", err)
			}
			m.WALRanges = append(m.WALRanges, w)
		default:
			return nil, damaged(n, "unexpected %.40q", line)
		}
	}
}

func manifestVersion(line []byte) (int, bool) {
	s := strings.ReplaceAll(string(line), " ", "")
	switch s {
	case `{"PostgreSQL-Backup-Manifest-Version":1,`:
		return 1, true
	case `{"PostgreSQL-Backup-Manifest-Version":2,`:
		return 2, true
	}
	return 0, false
}

func checkManifestSum(line, sum []byte) error {
	var v struct {
		Sum string `json:"Manifest-Checksum"`
	}
	want, err := []byte(nil), json.Unmarshal(append([]byte("{"), line...), &v)
	if err == nil {
		want, err = hex.DecodeString(v.Sum)
	}
	if err != nil || len(want) != sha256.Size {
		return Errorf(ErrDamaged, "backup_manifest: its last line is not a checksum: %.80q", line)
	}
	if !bytes.Equal(want, sum) {
		return Errorf(ErrDamaged, "backup_manifest does not match its own checksum (recorded %x, computed %x): it was changed or damaged", want[:4], sum[:4])
	}
	return nil
}

func parseManifestFile(line []byte) (ManifestFile, error) {
	var v struct {
		Path        *string `json:"Path"`
		EncodedPath *string `json:"Encoded-Path"`
		Size        int64   `json:"Size"`
		Time        string  `json:"Last-Modified"`
		Algorithm   string  `json:"Checksum-Algorithm"`
		Checksum    string  `json:"Checksum"`
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return ManifestFile{}, err
	}
	f := ManifestFile{Size: v.Size, Algorithm: v.Algorithm}
	switch {
	case v.Path != nil:
		f.Path = *v.Path
	case v.EncodedPath != nil: // a path that is not UTF-8
		b, err := hex.DecodeString(*v.EncodedPath)
		if err != nil {
			return f, fmt.Errorf("Encoded-Path: %w", err)
		}
		f.Path = string(b)
	}
	if f.Algorithm == "" {
		f.Algorithm = "NONE"
	}
	var err error
	if f.Checksum, err = hex.DecodeString(v.Checksum); err != nil {
		return f, fmt.Errorf("%s: checksum: %w", f.Path, err)
	}
	f.ModTime, _ = time.Parse(manifestTime, v.Time)
	return f, checkManifestFile(f)
}

// manifestTime is how a manifest writes times.
const manifestTime = "2006-01-02 15:04:05 GMT"

func checkManifestFile(f ManifestFile) error {
	if f.Path == "." || !validPath(f.Path) {
		return fmt.Errorf("path %.80q is not one inside a data directory", f.Path)
	}
	if f.Size < 0 || f.Size > 1<<60 {
		return fmt.Errorf("%s: impossible size %d", f.Path, f.Size)
	}
	return nil
}

// validPath is fs.ValidPath for names that need not be UTF-8.
func validPath(p string) bool { return fs.ValidPath(strings.ToValidUTF8(p, "_")) }

func parseWALRange(line []byte) (WALRange, error) {
	var v struct {
		Timeline uint32
		Start    LSN `json:"Start-LSN"`
		End      LSN `json:"End-LSN"`
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return WALRange{}, err
	}
	if v.Timeline == 0 || v.End < v.Start {
		return WALRange{}, fmt.Errorf("timeline %d from %s to %s", v.Timeline, v.Start, v.End)
	}
	return WALRange{v.Timeline, v.Start, v.End}, nil
}
