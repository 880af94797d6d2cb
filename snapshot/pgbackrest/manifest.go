package pgbackrest

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/snapview/snapview/snapshot"
)

// Bounds on what a manifest says of one file.
const (
	maxSize       = 1 << 47 // bytes
	maxMap        = 64 << 20
	maxReferences = 1 << 16
	blockUnit     = 8192 // block sizes are counted in it
	defaultSum    = 6    // bytes of a block's checksum
)

// An entry is a file in a manifest (section target:file).
type entry struct {
	name   string // beginning with pg_data/ or pg_tblspc/<oid>/
	size   int64  // as PostgreSQL had it
	stored int64  // in the repository
	offset int64  // in the bundle
	bundle int64  // 0: a file by itself
	time   int64
	holder uint32 // index into manifest.labels: the backup that has the bytes
	mode   uint16 // modeDefault: the section's default

	blockSize int64 // 0: not in blocks
	mapSize   int64
	sumSize   int

	known bool // sum is recorded
	sum   [20]byte
}

const modeDefault = 0xffff

// A target is one place that was backed up (section backup:target).
type target struct {
	Path string `json:"path"`
	OID  string `json:"tablespace-id"`
	Type string `json:"type"`
}

// A manifest is a backup.manifest.
type manifest struct {
	label      string
	kind       string // full, diff, incr
	prior      string
	references []string // what block maps count
	start      int64
	stop       int64
	startLSN   snapshot.LSN
	stopLSN    snapshot.LSN
	walStart   string // name of a segment
	walStop    string
	dbID       int
	dbVersion  string
	codec      string
	tool       string // version of pgBackRest
	key        []byte

	targets  map[string]target
	files    []entry
	dirs     []entry
	labels   []string // of holders, the backup itself first
	badPages []string // files with pages whose checksum was wrong
	bad      int

	fileMode, dirMode uint16

	numbers map[string]uint32 // label to index into labels
	why     error             // the original could not be read, this is its copy
}

// manifest reads the manifest of a backup.
func (r *repository) manifest(ctx context.Context, s stanza, label string, key []byte) (*manifest, error) {
	var m *manifest
	name := path.Join(s.backup, label, ManifestName)
	why, err := r.read(ctx, name, func() ([]byte, error) {
		if key == nil {
			return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s is encrypted, and %s holds no key for it", name, InfoName)
		}
		return key, nil
	}, func() visitor {
		m = &manifest{
			label: label, codec: "gz", fileMode: 0o600, dirMode: 0o700,
			targets: map[string]target{}, labels: []string{label}, numbers: map[string]uint32{label: 0},
		}
		return m.visit
	})
	if err != nil {
		return nil, err
	}
	m.why = why
	return m, nil
}

func (m *manifest) visit(section, key string, value []byte) error {
	var err error
	switch section {
	case "target:file":
		err = m.file(key, value)
	case "target:path":
		err = m.dir(key, value)
	case "target:file:default":
		err = visitMode(&m.fileMode, key, value)
	case "target:path:default":
		err = visitMode(&m.dirMode, key, value)
	case "backup:target":
		var t target
		if err = json.Unmarshal(value, &t); err == nil {
			m.targets[key] = t
		}
	case "backup", "backup:db", "backup:option", "backrest":
		err = m.field(key, value)
	case "cipher":
		return visitKey(&m.key, key, value)
	}
	if err != nil {
		return snapshot.Errorf(snapshot.ErrDamaged, "section %s, %.200q: %w", section, key, err)
	}
	return nil
}

// field reads one value of the sections that are about the whole backup.
func (m *manifest) field(key string, value []byte) error {
	fields := map[string]any{
		"backrest-version":       &m.tool,
		"backup-type":            &m.kind,
		"backup-prior":           &m.prior,
		"backup-timestamp-start": &m.start,
		"backup-timestamp-stop":  &m.stop,
		"backup-lsn-start":       &m.startLSN,
		"backup-lsn-stop":        &m.stopLSN,
		"backup-archive-start":   &m.walStart,
		"backup-archive-stop":    &m.walStop,
		"db-id":                  &m.dbID,
		"db-version":             &m.dbVersion,
		"option-compress-type":   &m.codec,
	}
	switch key {
	case "backup-label":
		var label string
		if err := json.Unmarshal(value, &label); err != nil || label != m.label {
			return fmt.Errorf("it is the manifest of %.80q, in the folder of %s", label, m.label)
		}
		return nil
	case "backup-reference":
		return m.readReferences(value)
	case "option-compress": // of old; option-compress-type comes behind it
		if string(value) == "false" {
			m.codec = "none"
		}
		return nil
	}
	dst := fields[key]
	if dst == nil {
		return nil
	}
	return json.Unmarshal(value, dst)
}

func (m *manifest) readReferences(value []byte) error {
	var list string
	if err := json.Unmarshal(value, &list); err != nil {
		return err
	}
	m.references = strings.Split(list, ",")
	if len(m.references) > maxReferences {
		return fmt.Errorf("%d backups", len(m.references))
	}
	for _, label := range m.references {
		if !IsLabel(label) {
			return fmt.Errorf("%.80q is not the label of a backup", label)
		}
	}
	return nil
}

// file reads an entry. The JSON is decoded by encoding/json into what is there
// or not; the names are those of pgBackRest's manifest.c.
func (m *manifest) file(name string, value []byte) error {
	v := struct {
		Size      *int64 `json:"size"`
		Stored    *int64 `json:"repo-size"`
		Checksum  string `json:"checksum"`
		Reference string `json:"reference"`
		Bundle    int64  `json:"bni"`
		Offset    int64  `json:"bno"`
		Block     int64  `json:"bi"`
		Sum       int    `json:"bic"`
		Map       int64  `json:"bim"`
		Time      int64  `json:"timestamp"`
		Mode      string `json:"mode"`
		Pages     *bool  `json:"checksum-page"`
	}{Sum: defaultSum}
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	switch {
	case v.Size == nil:
		return fmt.Errorf("no size")
	case len(m.files) == snapshot.MaxFiles:
		return fmt.Errorf("more than %d files", len(m.files))
	}
	if v.Stored == nil {
		v.Stored = v.Size
	}
	for _, n := range []int64{*v.Size, *v.Stored, v.Offset, v.Bundle} {
		if n < 0 || n > maxSize {
			return fmt.Errorf("impossible number %d", n)
		}
	}
	e := entry{
		name: name, size: *v.Size, stored: *v.Stored, bundle: v.Bundle, offset: v.Offset,
		time: v.Time, mode: modeDefault, blockSize: v.Block * blockUnit, mapSize: v.Map, sumSize: v.Sum,
	}
	if v.Block < 0 || v.Block > maxMap/blockUnit || v.Map < 0 || v.Map > min(maxMap, e.stored) || v.Map > 0 && v.Block == 0 || v.Sum < 1 || v.Sum > 16 {
		return fmt.Errorf("impossible blocks: %d of them in one, map of %d bytes of %d, checksums of %d", v.Block, v.Map, e.stored, v.Sum)
	}
	if v.Map == 0 {
		e.blockSize = 0
	}
	if v.Checksum != "" {
		b, err := hex.DecodeString(v.Checksum)
		if err != nil || len(b) != len(e.sum) {
			return fmt.Errorf("checksum %.80q", v.Checksum)
		}
		e.sum, e.known = [20]byte(b), true
	}
	if e.size == 0 {
		e.sum, e.known = sha1.Sum(nil), true // it is not recorded
	}
	if v.Pages != nil && !*v.Pages {
		if m.bad++; m.bad <= 100 {
			m.badPages = append(m.badPages, name)
		}
	}
	var err error
	if e.holder, err = m.holder(v.Reference); err == nil {
		err = parseMode(&e.mode, v.Mode)
	}
	m.files = append(m.files, e)
	return err
}

// holder numbers the backup that has a file's bytes.
func (m *manifest) holder(label string) (uint32, error) {
	if label == "" {
		return 0, nil
	}
	n, ok := m.numbers[label]
	if ok {
		return n, nil
	}
	if !IsLabel(label) || len(m.labels) == maxReferences {
		return 0, fmt.Errorf("%.80q is not the label of a backup, or one too many", label)
	}
	n = uint32(len(m.labels))
	m.labels = append(m.labels, label)
	m.numbers[label] = n
	return n, nil
}

func (m *manifest) dir(name string, value []byte) error {
	var v struct {
		Mode string `json:"mode"`
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	if len(m.dirs) == snapshot.MaxFiles {
		return fmt.Errorf("more than %d directories", len(m.dirs))
	}
	e := entry{name: name, mode: modeDefault}
	err := parseMode(&e.mode, v.Mode)
	m.dirs = append(m.dirs, e)
	return err
}

func visitMode(dst *uint16, key string, value []byte) error {
	if key != "mode" {
		return nil
	}
	return parseMode(dst, string(bytes.Trim(value, `"`)))
}

func parseMode(dst *uint16, s string) error {
	if s == "" {
		return nil
	}
	n, err := strconv.ParseUint(s, 8, 12)
	if err != nil {
		return fmt.Errorf("mode %.20q", s)
	}
	*dst = uint16(n)
	return nil
}

// perm returns an entry's permissions.
func perm(e entry, def uint16) uint16 {
	if e.mode == modeDefault {
		return def & 0o777
	}
	return e.mode & 0o777
}
