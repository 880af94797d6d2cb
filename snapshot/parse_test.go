package snapshot_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// manifest makes a backup_manifest with the given lines between its first and
// its checksum.
func manifest(lines string) []byte {
	s := "{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 7700000000000000001,\n" + lines
	return fmt.Appendf(nil, "%s\"Manifest-Checksum\": \"%x\"}\n", s, sha256.Sum256([]byte(s)))
}

const someFiles = `"Files": [
{ "Path": "base/5/1259", "Size": 24576, "Last-Modified": "2026-11-21 06:31:50 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "dc51011f" },
{ "Encoded-Path": "6261FF", "Size": 0, "Last-Modified": "2026-11-21 06:31:50 GMT" }
],
"WAL-Ranges": [
{ "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }
],
`

func TestReadManifest(t *testing.T) {
	var files []snapshot.ManifestFile
	m, err := snapshot.ReadManifest(bytes.NewReader(manifest(someFiles)), func(f snapshot.ManifestFile) error {
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.Version != 2 || m.SystemID != 7700000000000000001 || m.Files != 2 || m.Bytes != 24576 ||
		len(m.WALRanges) != 1 || m.WALRanges[0] != (snapshot.WALRange{Timeline: 1, Start: 0x2000028, End: 0x2000100}) {
		t.Errorf("%+v", m)
	}
	if files[0].Path != "base/5/1259" || files[0].Checksum[0] != 0xdc || files[1].Path != "ba\xff" || files[1].Algorithm != "NONE" {
		t.Errorf("%+v", files)
	}
}

func TestReadManifest_RefusesDamage(t *testing.T) {
	good := manifest(someFiles)
	for name, b := range map[string][]byte{
		"empty":        nil,
		"other":        []byte("hello"),
		"cut":          good[:len(good)/2],
		"no checksum":  good[:bytes.Index(good, []byte("\"Manifest-Checksum"))],
		"flipped":      bytes.Replace(good, []byte("24576"), []byte("24577"), 1),
		"leaves":       manifest("\"Files\": [\n{ \"Path\": \"../x\", \"Size\": 1 }\n],\n"),
		"negative":     manifest("\"Files\": [\n{ \"Path\": \"x\", \"Size\": -1 }\n],\n"),
		"long line":    manifest("\"Files\": [\n" + strings.Repeat(" ", 1<<20) + "],\n"),
		"bad checksum": append(bytes.Clone(good[:len(good)-10]), "zz\"}\n"...),
	} {
		if _, err := snapshot.ReadManifest(bytes.NewReader(b), nil); !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A manifest is compared with the files that are there.
func TestIdentify_ManifestNamesMissingFiles(t *testing.T) {
	c := snapshottest.NewCluster()
	c["backup_manifest"] = manifest(strings.Replace(someFiles, `"Encoded-Path": "6261FF"`, `"Path": "base/5/16400"`, 1))
	s, err := c.Snapshot(t, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Err(); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "base/5/16400") {
		t.Errorf("Err = %v", err)
	}
	if s.Identity.EndLSN != 0x2000100 {
		t.Errorf("EndLSN = %s", s.Identity.EndLSN)
	}
}

// A manifest too large to be read at open still gives its WAL ranges.
func TestIdentify_LargeManifest(t *testing.T) {
	var b strings.Builder
	b.WriteString("\"Files\": [\n")
	for i := range 170_000 {
		fmt.Fprintf(&b, "{ \"Path\": \"base/5/%d\", \"Size\": 8192, \"Last-Modified\": \"2026-11-21 06:31:50 GMT\", \"Checksum-Algorithm\": \"NONE\" },\n", i)
	}
	c := snapshottest.NewCluster()
	c["backup_manifest"] = manifest(b.String() + someFiles[strings.Index(someFiles, "{"):])
	s, err := c.Snapshot(t, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	if s.Identity.EndLSN != 0x2000100 {
		t.Errorf("EndLSN = %s", s.Identity.EndLSN)
	}
	if got := snapshottest.Outcomes(s)["manifest"]; got != snapshot.Info {
		t.Errorf("manifest: %q; what was not compared has to be said", got)
	}
	if n := s.BytesRead(); n > 100<<10 {
		t.Errorf("opening read %d bytes", n)
	}
}

func TestParseTablespaceMap(t *testing.T) {
	m, err := snapshot.ParseTablespaceMap([]byte("16384 /mnt/a b\n16385 /mnt/new\\\nline\\\\x\n"))
	if err != nil || m[16384] != "/mnt/a b" || m[16385] != "/mnt/new\nline\\x" || len(m) != 2 {
		t.Errorf("%v, %v", m, err)
	}
	for _, bad := range []string{"x /y\n", "16384\n", "0 /y\n", "1 /a\n1 /b\n"} {
		if _, err := snapshot.ParseTablespaceMap([]byte(bad)); !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParseHistory(t *testing.T) {
	h, err := snapshot.ParseHistory([]byte("1\t0/21112E0\tbefore 2026-11-21 06:32:10.889964+00\n\n3\t1/0\tx\n"))
	if err != nil || len(h) != 2 || h[0].Parent != 1 || h[0].LSN != 0x21112E0 || h[1].LSN != 1<<32 || !strings.HasPrefix(h[0].Reason, "before") {
		t.Errorf("%+v, %v", h, err)
	}
	for _, bad := range []string{"1\n", "x 0/1\n", "2 0/1\n1 0/2\n"} {
		if _, err := snapshot.ParseHistory([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestSegmentNames(t *testing.T) {
	for _, c := range []struct {
		tli  uint32
		lsn  snapshot.LSN
		size int
		name string
	}{
		{1, 0x1400028, 1 << 20, "000000010000000000000014"},
		{2, 0x3_FF000000, 16 << 20, "0000000200000003000000FF"},
		{1, 0x1_00000000, 1 << 30, "000000010000000100000000"},
	} {
		if got := snapshot.SegmentName(c.tli, c.lsn, c.size); got != c.name {
			t.Errorf("SegmentName(%d, %s) = %s, want %s", c.tli, c.lsn, got, c.name)
		}
		tli, start, ok := snapshot.ParseSegmentName(c.name, c.size)
		if !ok || tli != c.tli || start != c.lsn-c.lsn%snapshot.LSN(c.size) {
			t.Errorf("ParseSegmentName(%s) = %d, %s, %v", c.name, tli, start, ok)
		}
	}
	for _, bad := range []string{"", "00000001000000000000000g", "000000010000000000000014.partial", "0000000100000000FFFFFFFF"} {
		if _, _, ok := snapshot.ParseSegmentName(bad, 16<<20); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzControl(f *testing.F) {
	f.Add(snapshottest.Control(1)[:512])
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := snapshot.ParseControl(b); err == nil && c.WALSegmentSize == 0 {
			t.Error("taken with a segment size of 0")
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add(manifest(someFiles))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := snapshot.ReadManifest(bytes.NewReader(b), nil)
		if err == nil && m.Files < 0 {
			t.Error("negative count")
		}
	})
}

func FuzzLabel(f *testing.F) {
	f.Add(snapshottest.NewCluster()["backup_label"])
	f.Add([]byte("16384 /x\\\n\n"))
	f.Add([]byte("1\t0/1\tx\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = snapshot.ParseLabel(b)
		_, _ = snapshot.ParseHistory(b)
		if m, err := snapshot.ParseTablespaceMap(b); err == nil {
			for oid, dir := range m {
				if oid == 0 || dir == "" {
					t.Errorf("%d %q", oid, dir)
				}
			}
		}
	})
}
