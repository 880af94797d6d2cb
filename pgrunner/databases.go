package pgrunner

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Single-user mode opens a database, and says only of a wrong name that it is
// wrong. Where neither "postgres" nor "template1" exists, the names are read
// from pg_database's file: not as a database would (old versions of rows are
// read too), but a wrong one does no harm.

const (
	pgDatabaseOID  = 1262
	relmapMagic    = 0x592717 // RELMAPPER_FILEMAGIC in utils/cache/relmapper.c
	pageSize       = 8192
	pageHeader     = 24 // SizeOfPageHeaderData
	tupleHeader    = 23 // SizeofHeapTupleHeader
	hoffOffset     = 22 // t_hoff in it
	nameLength     = 64 // NAMEDATALEN
	maxCatalogSize = 64 << 20
)

// guessDatabases returns names that may be those of databases, oldest first.
func guessDatabases(data string, major int) []string {
	m, err := readLimited(filepath.Join(data, "global", "pg_filenode.map"))
	if err != nil {
		return nil
	}
	node := mappedFile(m, pgDatabaseOID)
	if node == 0 {
		return nil
	}
	b, err := readLimited(filepath.Join(data, "global", strconv.FormatUint(uint64(node), 10)))
	if err != nil {
		return nil
	}
	return databaseNames(b, major)
}

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxCatalogSize))
}

// mappedFile returns the file number of a mapped relation, or 0.
func mappedFile(m []byte, oid uint32) uint32 {
	le := binary.LittleEndian
	if len(m) < 8 || le.Uint32(m) != relmapMagic {
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

// databaseNames returns the second column of every tuple in b, a heap of
// 8 kB pages. Before version 12 the oid was no column.
func databaseNames(b []byte, major int) []string {
	le := binary.LittleEndian
	var names []string
	for ; len(b) >= pageSize; b = b[pageSize:] {
		page := b[:pageSize]
		lower := min(int(le.Uint16(page[12:])), pageSize)
		for at := pageHeader; at+4 <= lower; at += 4 {
			item := le.Uint32(page[at:])
			offset, flags := int(item&0x7fff), item>>15&3
			if flags != 1 || offset+tupleHeader > pageSize { // LP_NORMAL
				continue
			}
			name := offset + int(page[offset+hoffOffset])
			if major >= 12 {
				name += 4
			}
			if name+nameLength > pageSize {
				continue
			}
			text, _, _ := bytes.Cut(page[name:name+nameLength], []byte{0})
			if s := string(text); s != "" && !slices.Contains(names, s) {
				names = append(names, s)
			}
		}
	}
	return names
}
