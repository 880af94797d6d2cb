package growth

import (
	"path"
	"regexp"
	"strconv"
	"strings"
)

// firstNormalOID is the first object identifier that is not the system's own
// (FirstNormalObjectId in PostgreSQL's access/transam.h).
const firstNormalOID = 16384

// A Relation is what a relfilenode belongs to. Schema and Name are empty when
// the catalogue of now does not know it: it was dropped or rewritten since.
type Relation struct {
	Database    string `json:"database,omitempty"`
	Schema      string `json:"schema,omitempty"`
	Name        string `json:"name,omitempty"`
	Kind        string `json:"kind,omitempty"`  // pg_class.relkind
	Table       string `json:"table,omitempty"` // that an index or TOAST table belongs to
	RelFileNode uint32 `json:"relfilenode"`
	System      bool   `json:"system"`
}

// String is the name that people know the relation by.
func (r Relation) String() string {
	name := r.Name
	if name == "" {
		name = "relfilenode " + strconv.FormatUint(uint64(r.RelFileNode), 10)
	}
	if r.Schema != "" {
		name = r.Schema + "." + name
	}
	if r.Database != "" {
		name = r.Database + "." + name
	}
	return name
}

// A FileNode is a relation's place on disk: PostgreSQL's RelFileLocator, less
// the fork and the segment.
type FileNode struct {
	Tablespace uint32 // 0 for pg_default, 1664 for pg_global
	Database   uint32 // 0 for shared relations
	Number     uint32
}

// Names is what the server says of its files.
type Names map[FileNode]Relation

// globalTablespace is pg_global's OID (GLOBALTABLESPACE_OID in pg_tablespace.dat).
const globalTablespace = 1664

// ParseFileNode reads the path of a relation's file, relative to the mount's
// root, as PostgreSQL's relpath.c builds it: data/base/5/16384_fsm,
// data/global/1262, tablespaces/16385/PG_15_202209061/5/16390.1.
func ParseFileNode(path string) (FileNode, bool) {
	parts := strings.Split(path, "/")
	var node FileNode
	var file string
	switch {
	case len(parts) == 4 && parts[0] == "data" && parts[1] == "base":
		db, ok := parseOID(parts[2])
		if !ok {
			return FileNode{}, false
		}
		node.Database, file = db, parts[3]
	case len(parts) == 3 && parts[0] == "data" && parts[1] == "global":
		node.Tablespace, file = globalTablespace, parts[2]
	case len(parts) == 5 && parts[0] == "tablespaces":
		spc, ok := parseOID(parts[1])
		if !ok {
			return FileNode{}, false
		}
		db, ok := parseOID(parts[3])
		if !ok {
			return FileNode{}, false
		}
		node.Tablespace, node.Database, file = spc, db, parts[4]
	default:
		return FileNode{}, false
	}
	file, _, _ = strings.Cut(file, ".")
	file, _, _ = strings.Cut(file, "_")
	number, ok := parseOID(file)
	if !ok {
		return FileNode{}, false
	}
	node.Number = number
	return node, true
}

func parseOID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0
}

// configFiles are those that snapview writes before the server starts.
var configFiles = map[string]bool{
	"postgresql.conf": true, "postgresql.auto.conf": true, "pg_hba.conf": true,
	"pg_ident.conf": true, "standby.signal": true, "recovery.signal": true,
}

// temporaryRelation matches the files of temporary tables: t<backend>_<number>.
var temporaryRelation = regexp.MustCompile(`/t\d+_\d+[^/]*$`)

// folders are those of the data directory whose files have one cause.
var folders = map[string]Cause{
	"pg_wal": CauseWAL, "pg_xact": CauseTransaction, "pg_clog": CauseTransaction, "pg_multixact": CauseTransaction,
	"pg_subtrans": CauseTransaction, "pg_commit_ts": CauseTransaction, "pg_twophase": CauseTransaction,
	"pg_stat": CauseStatistics, "pg_stat_tmp": CauseStatistics, "log": CauseLog, "pg_log": CauseLog,
}

// classify says why a file has grown, and which relation it belongs to.
func classify(f File, names Names) (Cause, *Relation) {
	switch {
	case f.Structure:
		return CauseFilesystem, nil
	case f.Dir:
		return CauseDirectory, nil
	case strings.Contains(f.Path, "/pgsql_tmp/") || temporaryRelation.MatchString(f.Path):
		return CauseTemporary, nil
	}
	inData, ok := strings.CutPrefix(f.Path, "data/")
	if ok && configFiles[inData] {
		return CauseConfig, nil
	}
	if folder, _, deeper := strings.Cut(inData, "/"); ok && deeper && folders[folder] != "" {
		return folders[folder], nil
	}
	node, ok := ParseFileNode(f.Path)
	if !ok {
		switch path.Base(f.Path) {
		case "pg_control", "pg_filenode.map", "pg_internal.init", "PG_VERSION", "postmaster.pid", "backup_label", "tablespace_map", "backup_manifest":
			return CauseControl, nil
		}
		return CauseOther, nil
	}
	rel, known := names[node]
	if !known {
		rel = Relation{RelFileNode: node.Number, System: node.Number < firstNormalOID}
	}
	return causeOf(f.Path, &rel), &rel
}

// causeOf says why a relation's file has grown.
func causeOf(file string, rel *Relation) Cause {
	_, fork, _ := strings.Cut(path.Base(file), "_")
	fork, _, _ = strings.Cut(fork, ".")
	switch {
	case rel.System:
		return CauseCatalog
	case fork == "vm":
		return CauseVisibilityMap
	case fork == "fsm":
		return CauseFreeSpaceMap
	case rel.Kind == "i":
		return CauseIndex
	}
	return CauseData
}
