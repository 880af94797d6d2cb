package snapshot

import (
	"bytes"
	"reflect"
	"testing"
)

var manifestLineSeeds = []string{
	`{ "Path": "base/5/1259", "Size": 24576, "Last-Modified": "2026-11-21 06:31:50 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "dc51011f" }`,
	`{ "Path": "base/5/1259", "Size": 0, "Last-Modified": "2026-11-21 06:31:50 GMT" }`,
	`{ "Path": "a\u0062", "Size": 1, "Last-Modified": "2026-11-21 06:31:50 GMT" }`,
	`{ "Path": "a", "Size": 007, "Last-Modified": "" }`,
	`{ "Path": "../a", "Size": 1, "Last-Modified": "" }`,
	`{ "Encoded-Path": "6261FF", "Size": 0, "Last-Modified": "2026-11-21 06:31:50 GMT" }`,
	`{ "Path": "a", "Size": 1, "Last-Modified": "x", "Checksum-Algorithm": "SHA256", "Checksum": "0" }`,
}

// What is read by hand must be what JSON says, to the last field.
func FuzzManifestLine(f *testing.F) {
	for _, s := range manifestLineSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var l manifestLines
		fast, ok := l.plain(line)
		if !ok {
			return
		}
		slow, err := parseManifestFile(line)
		if (err == nil) != (checkManifestFile(fast) == nil) {
			t.Fatalf("%s: by hand %v, as JSON %v", line, checkManifestFile(fast), err)
		}
		if err == nil && (!bytes.Equal(fast.Checksum, slow.Checksum) || fast.Path != slow.Path || fast.Size != slow.Size ||
			fast.Algorithm != slow.Algorithm || !fast.ModTime.Equal(slow.ModTime)) {
			t.Fatalf("%s: by hand %+v, as JSON %+v", line, fast, slow)
		}
	})
}

func TestManifestLine_PostgresOwnAreReadByHand(t *testing.T) {
	for _, s := range manifestLineSeeds[:2] {
		var l manifestLines
		fast, ok := l.plain([]byte(s))
		slow, err := parseManifestFile([]byte(s))
		if !ok || err != nil || fast.Path != slow.Path || !bytes.Equal(fast.Checksum, slow.Checksum) {
			t.Errorf("%s: %+v %v, as JSON %+v %v", s, fast, ok, slow, err)
		}
	}
	var l manifestLines
	if f, ok := l.plain([]byte(manifestLineSeeds[2])); ok {
		t.Errorf("an escape was read by hand: %+v", f)
	}
	if f, err := l.file([]byte(manifestLineSeeds[5])); err != nil || !reflect.DeepEqual(f.Path, "ba\xff") {
		t.Errorf("encoded path: %+v %v", f, err)
	}
}

func BenchmarkReadManifestLine(b *testing.B) {
	line := []byte(manifestLineSeeds[0])
	b.Run("by hand", func(b *testing.B) {
		var l manifestLines
		for b.Loop() {
			if _, err := l.file(line); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("as JSON", func(b *testing.B) {
		for b.Loop() {
			if _, err := parseManifestFile(line); err != nil {
				b.Fatal(err)
			}
		}
	})
}
