package growth

import (
	"math/rand/v2"
	"testing"
)

// prefix is a file system whose first bytes are its own.
type prefix int64

func (p prefix) MetadataAt(off int64) (string, int64, bool) {
	return "inode table", int64(p), off < int64(p)
}

func TestJoinAttributesEveryByteOnce(t *testing.T) {
	files := []File{
		{Path: "data/base/5/16384", Size: 16384, Extents: []Extent{{8192, 8192}, {40960, 8192}}},
		{Path: "data/base/5/16384_vm", Extents: []Extent{{16384, 4096}}},
		{Path: "data/pg_wal/000000010000000000000001", Extents: []Extent{{20480, 4096}}},
		{Path: "data", Dir: true, Extents: []Extent{{24576, 4096}}},
		{Path: "data/postgresql.conf", Extents: []Extent{{28672, 4096}}},
		{Path: "extent trees", Structure: true, Extents: []Extent{{49152, 4096}, {57344, 4096}}},
	}
	names := Names{{Database: 5, Number: 16384}: {Database: "shop", Schema: "public", Name: "orders", Kind: "r", RelFileNode: 16384}}
	report := Join([]Extent{{36864, 8192}, {4096, 28672}, {49152, 4096}}, files, prefix(8192), names)

	if report.Total != 40960 {
		t.Errorf("total %d, want 40960", report.Total)
	}
	want := map[string]int64{
		"inode table": 4096, "data/base/5/16384": 12288, "data/base/5/16384_vm": 4096,
		"data/pg_wal/000000010000000000000001": 4096, "data": 4096, "data/postgresql.conf": 4096,
		"blocks of files that are gone": 4096, "extent trees": 4096,
	}
	for _, row := range report.Files {
		if row.Bytes != want[row.Path] {
			t.Errorf("%s: %d bytes, want %d", row.Path, row.Bytes, want[row.Path])
		}
		delete(want, row.Path)
	}
	if len(want) > 0 {
		t.Errorf("missing from the report: %v", want)
	}
	if len(report.Relations) != 1 || report.Relations[0].String() != "shop.public.orders" ||
		report.Relations[0].Bytes != 16384 || report.Relations[0].Files != 2 {
		t.Errorf("relations: %+v", report.Relations)
	}
}

func TestJoinAddsUpOnRandomExtents(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var files []File
		var changed []Extent
		var total int64
		for off := int64(0); off < 1<<20; {
			n := int64(1+random.IntN(8)) * 4096
			if random.IntN(2) == 0 {
				files = append(files, File{Path: "data/x", Extents: []Extent{{off, n}}})
			}
			off += n
		}
		for off := int64(0); off < 1<<20; {
			n := int64(1+random.IntN(8)) * 4096
			if random.IntN(2) == 0 {
				changed = append(changed, Extent{off, n})
				total += n
			}
			off += n
		}
		random.Shuffle(len(changed), func(i, j int) { changed[i], changed[j] = changed[j], changed[i] })
		report := Join(changed, files, prefix(random.Int64N(1<<20)), nil)
		var causes int64
		for _, c := range report.Causes {
			causes += c.Bytes
		}
		if report.Total != total || causes != total {
			t.Fatalf("total %d, causes %d, want %d", report.Total, causes, total)
		}
	}
}

func TestParseFileNode(t *testing.T) {
	for path, want := range map[string]FileNode{
		"data/base/5/16384":                              {Database: 5, Number: 16384},
		"data/base/5/16384_fsm":                          {Database: 5, Number: 16384},
		"data/base/5/16384.12":                           {Database: 5, Number: 16384},
		"data/base/5/16384_init":                         {Database: 5, Number: 16384},
		"data/global/1262":                               {Tablespace: 1664, Number: 1262},
		"tablespaces/16385/PG_15_202209061/5/16390_vm.1": {Tablespace: 16385, Database: 5, Number: 16390},
	} {
		if got, ok := ParseFileNode(path); !ok || got != want {
			t.Errorf("%s: %v, %v; want %v", path, got, ok, want)
		}
	}
	for _, path := range []string{"data/base/5/PG_VERSION", "data/global/pg_control", "data/base/pgsql_tmp/pgsql_tmp1.0", "data/pg_wal/1", "", "data/base/5/t3_16384"} {
		if node, ok := ParseFileNode(path); ok {
			t.Errorf("%s: parsed as %v", path, node)
		}
	}
}

func TestCausesOfFiles(t *testing.T) {
	names := Names{
		{Database: 5, Number: 16384}: {Schema: "public", Name: "orders", Kind: "r", RelFileNode: 16384},
		{Database: 5, Number: 16390}: {Schema: "public", Name: "orders_pkey", Kind: "i", RelFileNode: 16390},
		{Database: 5, Number: 1259}:  {Schema: "pg_catalog", Name: "pg_class", Kind: "r", RelFileNode: 1259, System: true},
	}
	for path, want := range map[string]Cause{
		"data/base/5/16384": CauseData, "data/base/5/16384.1": CauseData, "data/base/5/16384_vm": CauseVisibilityMap,
		"data/base/5/16384_fsm": CauseFreeSpaceMap, "data/base/5/16384_vm.1": CauseVisibilityMap, "data/base/5/16390": CauseIndex,
		"data/base/5/1259_fsm": CauseCatalog, "data/base/5/99999": CauseData, "data/base/5/2600": CauseCatalog,
		"data/pg_wal/000000010000000000000001": CauseWAL, "data/pg_xact/0000": CauseTransaction, "data/pg_multixact/members/0000": CauseTransaction,
		"data/pg_stat_tmp/global.stat": CauseStatistics, "data/base/pgsql_tmp/pgsql_tmp1.0": CauseTemporary, "data/base/5/t3_16400": CauseTemporary,
		"data/global/pg_control": CauseControl, "data/base/5/pg_filenode.map": CauseControl, "data/postgresql.conf": CauseConfig,
		"data/log/postgresql.log": CauseLog, "data/whatever": CauseOther, "tablespaces/16385/PG_15_202209061/5/16391": CauseData,
	} {
		if got, _ := classify(File{Path: path}, names); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got, _ := classify(File{Path: "data/base/5", Dir: true}, names); got != CauseDirectory {
		t.Errorf("a directory: %s", got)
	}
	// Who was not asked did not forget.
	unknown := []File{{Path: "data/base/5/70000", Extents: []Extent{{0, 4096}}}}
	if r := Join([]Extent{{0, 4096}}, unknown, nil, names); len(r.Notes) != 1 {
		t.Errorf("notes %q", r.Notes)
	}
	if r := Join([]Extent{{0, 4096}}, unknown, nil, nil); len(r.Notes) != 0 {
		t.Errorf("notes %q", r.Notes)
	}
}
