package snapshot

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// What a backup's catalogue says is read from the heap's pages, without a
// server: which databases there are, how they sort, which extensions they use.
// Rows are judged by their hint bits alone, and recovery may change them, so
// this is for people and decides nothing.

// Object identifiers of the relations that are read (pg_class.dat).
const (
	databaseRelation  = 1262
	extensionRelation = 3079
)

// Bounds on what is read of a catalogue at open.
const (
	maxCatalogBytes     = 1 << 20
	maxCatalogRows      = 10000
	maxCatalogDatabases = 16 // whose extensions are looked for
)

// Flags of a row's header (access/htup_details.h).
const (
	rowHasNulls      = 0x0001
	rowDeleterLocks  = 0x0080
	rowMakerOK       = 0x0100
	rowMakerAborted  = 0x0200
	rowDeleterOK     = 0x0400
	rowColumns       = 0x07FF
	rowHeader        = 23 // bytes, before the bitmap of nulls
	nameBytes        = 64
	relationMapMagic = 0x592717
)

// A row is a row of a heap: its columns' bytes, and which of them are null.
type row struct {
	data    []byte
	nulls   []byte // bitmap, set for columns that are there; nil: all are
	columns int
}

// heapRows calls each for the rows of a heap's pages that seem to be alive, most
// at most.
func heapRows(heap []byte, pageSize, most int, each func(row)) {
	le := binary.LittleEndian
	rows := 0
	for ; len(heap) >= pageSize; heap = heap[pageSize:] {
		page := heap[:pageSize]
		lower := min(int(le.Uint16(page[12:])), pageSize)
		for at := 24; at+4 <= lower && rows < most; at += 4 {
			item := le.Uint32(page[at:])
			offset, state, length := int(item&0x7fff), item>>15&3, int(item>>17)
			if state != 1 || length <= rowHeader || offset+length > pageSize {
				continue
			}
			rows++
			t := page[offset : offset+length]
			flags, begin := le.Uint16(t[20:]), int(t[22])
			aborted := flags&(rowMakerOK|rowMakerAborted) == rowMakerAborted
			deleted := flags&rowDeleterOK != 0 && flags&rowDeleterLocks == 0
			if aborted || deleted || begin < rowHeader || begin > length {
				continue
			}
			r := row{data: t[begin:], columns: int(le.Uint16(t[18:]) & rowColumns)}
			if flags&rowHasNulls != 0 {
				if rowHeader+(r.columns+7)/8 > begin {
					continue
				}
				r.nulls = t[rowHeader:begin]
			}
			each(r)
		}
	}
}

// has says whether a column is there and not null.
func (r row) has(column int) bool {
	return column < r.columns && (r.nulls == nil || r.nulls[column/8]&(1<<(column%8)) != 0)
}

// name reads a column of type name.
func (r row) name(at int) (string, bool) {
	if at+nameBytes > len(r.data) {
		return "", false
	}
	text, _, _ := bytes.Cut(r.data[at:at+nameBytes], []byte{0})
	return printable(text)
}

// texts reads columns of type text, from column first at offset at on. A null
// one is empty. It ends early where the row does not have them.
func (r row) texts(first, at, count int) (list []string) {
	for column := first; column < first+count; column++ {
		if !r.has(column) {
			list = append(list, "")
			continue
		}
		if at < len(r.data) && r.data[at] == 0 {
			at = (at + 3) &^ 3 // padding before a long header
		}
		if at >= len(r.data) {
			return list
		}
		header, length := 1, int(r.data[at]>>1) // a short one counts itself
		switch {
		case r.data[at]&3 == 0 && at+4 <= len(r.data):
			header, length = 4, int(binary.LittleEndian.Uint32(r.data[at:])>>2)
		case r.data[at]&1 == 0, r.data[at] == 1:
			return list // compressed, or stored elsewhere
		}
		if length < header || at+length > len(r.data) {
			return list
		}
		text, ok := printable(r.data[at+header : at+length])
		if !ok {
			return list
		}
		list = append(list, text)
		at += length
	}
	return list
}

func printable(b []byte) (string, bool) {
	s := string(b)
	return s, s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// A Database is what the files of a backup say of one of its databases, before
// recovery: rows are judged by their hint bits alone.
type Database struct {
	OID      uint32 // 0 before PostgreSQL 12, which hides it
	Name     string
	Provider string `json:",omitempty"` // of its locale: libc, icu, builtin; from PostgreSQL 15 on, as the next two
	Collate  string `json:",omitempty"`

	// CollationVersion is what its indexes on text were built under; empty
	// for locales that have none.
	CollationVersion string   `json:",omitempty"`
	Extensions       []string `json:",omitempty"` // without plpgsql
}

// parseDatabases reads pg_database's pages.
func parseDatabases(heap []byte, pageSize, major int) (list []Database) {
	heapRows(heap, pageSize, maxCatalogRows, func(r row) {
		var d Database
		at := 0
		if major >= 12 {
			if at = 4; len(r.data) < at {
				return
			}
			d.OID = binary.LittleEndian.Uint32(r.data)
		}
		var ok bool
		if d.Name, ok = r.name(at); !ok {
			return
		}
		if major >= 15 && len(r.data) > 96 {
			// Fixed columns up to dattablespace; then collate, ctype, the ICU
			// locale, its rules (16 on) and the version.
			d.Provider = map[byte]string{'c': "libc", 'i': "icu", 'b': "builtin"}[r.data[76]]
			first, count := 11, 4
			if major >= 16 {
				count++
			}
			if major >= 17 {
				first++ // dathasloginevt
			}
			texts := r.texts(first, 96, count)
			if len(texts) == count {
				d.Collate, d.CollationVersion = cmp.Or(texts[2], texts[0]), texts[count-1]
			}
		}
		list = append(list, d)
	})
	slices.SortFunc(list, func(a, b Database) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(list, func(a, b Database) bool { return a.Name == b.Name && a.OID == b.OID })
}

// parseExtensions reads pg_extension's pages: names.
func parseExtensions(heap []byte, pageSize, major int) (list []string) {
	heapRows(heap, pageSize, maxCatalogRows, func(r row) {
		at := 0
		if major >= 12 {
			at = 4
		}
		if name, ok := r.name(at); ok && name != "plpgsql" {
			list = append(list, name)
		}
	})
	slices.Sort(list)
	return slices.Compact(list)
}

// mappedFile returns the file number of a relation in a relation map, 0 if it
// is not in it (utils/cache/relmapper.c).
func mappedFile(m []byte, oid uint32) uint32 {
	le := binary.LittleEndian
	if len(m) < 8 || le.Uint32(m) != relationMapMagic {
		return 0
	}
	n := le.Uint32(m[4:])
	for m = m[8:]; n > 0 && len(m) >= 8; n, m = n-1, m[8:] {
		if le.Uint32(m) == oid {
			return le.Uint32(m[4:])
		}
	}
	return 0
}

// checkCatalog says which databases there are and what they depend on.
func (r *reader) checkCatalog() {
	id := &r.s.Identity
	m, err := r.catalogFile("global/pg_filenode.map")
	if err != nil {
		return
	}
	heap, err := r.catalogFile(path.Join("global", strconv.FormatUint(uint64(mappedFile(m, databaseRelation)), 10)))
	if err != nil {
		return
	}
	list := parseDatabases(heap, id.BlockSize, id.PGVersion)
	if len(list) == 0 {
		return
	}
	var names, versions []string
	for _, d := range list {
		text := d.Name
		if d.Collate != "" {
			text += " (" + d.Collate + ")"
		}
		names = append(names, text)
		if d.CollationVersion != "" {
			versions = append(versions, fmt.Sprintf("%s: %s %s, version %s", d.Name, d.Provider, d.Collate, d.CollationVersion))
		}
	}
	r.add(Check{Name: "databases", Outcome: Info, Detail: "as the files say: " + some(names)})
	if len(versions) > 0 {
		r.add(Check{
			Name: "collations", Outcome: Info,
			Detail: "indexes on text are in the order of these versions; a server with others may miss rows, which it says when it is open: " + some(versions),
		})
	}
	r.checkExtensions(list)
	r.s.Databases = list
}

// checkExtensions names the extensions that a server needs to have.
func (r *reader) checkExtensions(list []Database) {
	if len(list) > maxCatalogDatabases {
		return // a read for each would take too long where the store is far away
	}
	var found []string
	for i, d := range list {
		// pg_extension is where initdb made it, unless somebody rewrote it.
		heap, err := r.catalogFile(fmt.Sprintf("base/%d/%d", d.OID, extensionRelation))
		if err != nil || d.OID == 0 {
			continue
		}
		if names := parseExtensions(heap, r.s.Identity.BlockSize, r.s.Identity.PGVersion); len(names) > 0 {
			list[i].Extensions = names
			found = append(found, d.Name+": "+some(names))
		}
	}
	if len(found) > 0 {
		r.add(Check{Name: "extensions", Outcome: Info, Detail: "what needs their libraries works only on a server that has them: " + strings.Join(found, "; ")})
	}
}

func (r *reader) catalogFile(name string) ([]byte, error) {
	f, err := r.s.Tree.Open(path.Join("data", name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxCatalogBytes))
}
