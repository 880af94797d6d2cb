package snapshot

import "testing"

// Whatever a page holds, reading it ends and stays inside.
func FuzzCatalog(f *testing.F) {
	page := make([]byte, 8192)
	copy(page[12:], []byte{28, 0})
	copy(page[24:], []byte{0x00, 0x9f, 0x80, 0x01}) // a row of 192 bytes at 0x1f00
	copy(page[0x1f00+18:], []byte{16, 0, 1, 9, 32, 0xff, 0x7f})
	copy(page[0x1f00+32:], "\x05\x00\x00\x00postgres")
	copy(page[0x1f00+32+96:], "\x05C\x05C")
	f.Add(page, 15)
	f.Fuzz(func(t *testing.T, heap []byte, major int) {
		for _, d := range parseDatabases(heap, 8192, major) {
			if d.Name == "" {
				t.Error("a database without a name")
			}
		}
		parseExtensions(heap, 8192, major)
		mappedFile(heap, databaseRelation)
		textIndexes(heap, 8192)
	})
}
