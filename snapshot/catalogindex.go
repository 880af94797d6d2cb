package snapshot

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"slices"
)

// Which indexes depend on how a database sorts text, from pg_index, pg_class
// and pg_namespace as they lie in the backup.

const (
	classRelation     = 1259
	namespaceRelation = 2615
	indexRelation     = 2610

	defaultCollation = 100 // what sorts as the database does (pg_collation.dat)
	firstOfUsers     = 16384

	// maxIndexCatalog is how much of each catalogue is read: enough for some
	// 100,000 relations.
	maxIndexCatalog = 32 << 20
	// vectorHeader is the size of an int2vector's or oidvector's header.
	vectorHeader = 24
	maxIndexKeys = 32 // columns of an index (INDEX_MAX_KEYS)
)

// TextIndexes returns the users' indexes of a database that are in the order of
// the database's own collation, by name: those that may miss rows on a server
// that has another version of it. It reads three of the database's catalogues,
// and tells nothing before PostgreSQL 15, where such databases have no version.
func (s *Snapshot) TextIndexes(d Database) ([]string, error) {
	if s.Identity.PGVersion < 15 || d.OID == 0 {
		return nil, nil
	}
	c := &catalogIndexes{s: s, dir: fmt.Sprintf("base/%d", d.OID)}
	return c.list()
}

type catalogIndexes struct {
	s   *Snapshot
	dir string
}

// A class is a row of pg_class.
type class struct {
	name      string
	namespace uint32
	file      uint32
}

func (c *catalogIndexes) list() ([]string, error) {
	m, err := c.read("pg_filenode.map", 8192)
	if err != nil {
		return nil, err
	}
	heap, err := c.read(fmt.Sprint(mappedFile(m, classRelation)), maxIndexCatalog)
	if err != nil {
		return nil, err
	}
	classes := c.classes(heap)
	if heap, err = c.relation(classes, namespaceRelation); err != nil {
		return nil, err
	}
	schemas := map[uint32]string{}
	heapRows(heap, c.s.Identity.BlockSize, maxIndexRows, func(r row) {
		if name, ok := r.name(4); ok {
			schemas[binary.LittleEndian.Uint32(r.data)] = name
		}
	})
	if heap, err = c.relation(classes, indexRelation); err != nil {
		return nil, err
	}
	var names []string
	for _, oid := range textIndexes(heap, c.s.Identity.BlockSize) {
		if i, ok := classes[oid]; ok && oid >= firstOfUsers {
			names = append(names, cmp.Or(schemas[i.namespace], "?")+"."+i.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// maxIndexRows bounds the rows of a catalogue.
const maxIndexRows = 1 << 20

func (c *catalogIndexes) classes(heap []byte) map[uint32]class {
	le, all := binary.LittleEndian, map[uint32]class{}
	heapRows(heap, c.s.Identity.BlockSize, maxIndexRows, func(r row) {
		// oid, relname, relnamespace, four more, relam, relfilenode
		if name, ok := r.name(4); ok && len(r.data) >= 92 {
			all[le.Uint32(r.data)] = class{name, le.Uint32(r.data[68:]), le.Uint32(r.data[88:])}
		}
	})
	return all
}

// relation reads a catalogue that is not mapped.
func (c *catalogIndexes) relation(classes map[uint32]class, oid uint32) ([]byte, error) {
	return c.read(fmt.Sprint(cmp.Or(classes[oid].file, oid)), maxIndexCatalog)
}

func (c *catalogIndexes) read(name string, most int64) ([]byte, error) {
	f, err := c.s.Tree.Open(path.Join("data", c.dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// textIndexes reads pg_index's pages, of PostgreSQL 15 on: the indexes with a
// column in the order of the database's collation.
func textIndexes(heap []byte, pageSize int) (list []uint32) {
	le := binary.LittleEndian
	heapRows(heap, pageSize, maxIndexRows, func(r row) {
		const keys = 24 // after two OIDs, two numbers and eleven booleans
		if len(r.data) < keys+vectorHeader {
			return
		}
		// Vectors are stored as they are: no short header, no compression.
		at := (keys + int(le.Uint32(r.data[keys:])>>2) + 3) &^ 3
		if at+vectorHeader > len(r.data) {
			return
		}
		size := int(le.Uint32(r.data[at:]) >> 2)
		if size < vectorHeader || size > vectorHeader+4*maxIndexKeys || at+size > len(r.data) {
			return
		}
		for collations := r.data[at+vectorHeader : at+size]; len(collations) >= 4; collations = collations[4:] {
			if le.Uint32(collations) == defaultCollation {
				list = append(list, le.Uint32(r.data))
				return
			}
		}
	})
	return list
}
