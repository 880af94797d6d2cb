// Package growth answers whose bytes an overlay holds: it joins the extents
// that changed with the files of the mount and with the names in pg_class.
//
// The changed extents come from the overlay and are exact, to the 4 KiB block.
// The files' extents are those of the moment that the changes lead up to: the
// file system tells them (FIEMAP), or the disk of a checkpoint is read. The
// names come from the server. A changed block that no file of that moment
// covers is either the file system's own metadata, known from the lay-out of
// the base, or was freed since it was written. Every changed byte is counted
// once, so the rows of a report add up to its total.
package growth

import (
	"cmp"
	"fmt"
	"slices"
)

// An Extent is a run of bytes of the device.
type Extent struct {
	Offset int64 // in bytes from the device's start
	Length int64 // in bytes
}

// A File of the mount and where its bytes lie on the device.
type File struct {
	Path string // slash-separated, relative to the mount's root
	Dir  bool
	// Structure is set for what is no file, but the file system's own; Path
	// says what.
	Structure bool
	Size      int64 // in bytes, as stat has it
	Extents   []Extent
}

// Metadata tells which bytes of the device are the file system's own.
type Metadata interface {
	// MetadataAt names the structure at off ("inode table", "group
	// descriptors" ...) and says where it ends. ok is false where data lies.
	MetadataAt(off int64) (name string, end int64, ok bool)
}

// Cause says why bytes are in the overlay. The values are those of the API.
type Cause string

// The causes.
const (
	CauseData          Cause = "data"           // pages of tables, TOAST tables, sequences
	CauseIndex         Cause = "index"          // pages of indexes
	CauseVisibilityMap Cause = "visibility-map" // which pages all may see
	CauseFreeSpaceMap  Cause = "free-space-map" // where relations have room
	CauseCatalog       Cause = "catalog"        // relations of the system
	CauseWAL           Cause = "wal"            // write-ahead log
	CauseTransaction   Cause = "transaction"    // pg_xact, pg_multixact, pg_subtrans ...
	CauseStatistics    Cause = "statistics"     // pg_stat, pg_stat_tmp
	CauseTemporary     Cause = "temporary"      // sorts, hashes, temporary tables
	CauseControl       Cause = "control"        // pg_control, filenode maps, PG_VERSION
	CauseConfig        Cause = "configuration"  // written by snapview
	CauseLog           Cause = "log"            // the server's own
	CauseOther         Cause = "other"          // what else the server keeps
	CauseDirectory     Cause = "directories"    // lists of files
	CauseFilesystem    Cause = "metadata"       // inodes, bitmaps, extent trees
	CauseFreed         Cause = "free"           // written, and in no file any more
)

// A FileGrowth is what one file, or one structure of the file system, holds.
type FileGrowth struct {
	Path     string    `json:"path"`
	Cause    Cause     `json:"cause"`
	Bytes    int64     `json:"bytes"`
	FileSize int64     `json:"file_size,omitempty"`
	Relation *Relation `json:"relation,omitempty"`
}

// A RelationGrowth adds up the files of one relation: its segments and forks.
type RelationGrowth struct {
	Relation
	Bytes int64 `json:"bytes"`
	Files int   `json:"files"`
}

// A CauseGrowth adds up the bytes of one cause.
type CauseGrowth struct {
	Cause Cause `json:"cause"`
	Bytes int64 `json:"bytes"`
}

// A Report says whose the bytes of a set of extents are. Each of its tables
// is ordered by bytes, the largest first; Files and Causes add up to Total.
type Report struct {
	Total     int64            `json:"total"`
	Causes    []CauseGrowth    `json:"causes"`
	Relations []RelationGrowth `json:"relations"`
	Files     []FileGrowth     `json:"files"`
	// Notes are sentences about what the report cannot say.
	Notes []string `json:"notes,omitempty"`
}

// Join attributes every byte of changed to a file, a structure of the file
// system, or to what was freed. The extents of changed must not overlap each
// other; those of files may not either, as no two files share a block.
func Join(changed []Extent, files []File, meta Metadata, names Names) Report {
	type owned struct {
		Extent
		file int
	}
	var owners []owned
	for i, f := range files {
		for _, e := range f.Extents {
			owners = append(owners, owned{e, i})
		}
	}
	slices.SortFunc(owners, func(a, b owned) int { return cmp.Compare(a.Offset, b.Offset) })
	changed = slices.SortedFunc(slices.Values(changed), func(a, b Extent) int { return cmp.Compare(a.Offset, b.Offset) })

	byFile := make([]int64, len(files))
	byStructure := map[string]int64{}
	var freed int64
	next := 0 // the first owner that may still reach past the current offset
	for _, c := range changed {
		for off, end := c.Offset, c.Offset+c.Length; off < end; {
			for next < len(owners) && owners[next].Offset+owners[next].Length <= off {
				next++
			}
			if next < len(owners) && owners[next].Offset <= off {
				stop := min(end, owners[next].Offset+owners[next].Length)
				byFile[owners[next].file] += stop - off
				off = stop
				continue
			}
			stop := end
			if next < len(owners) {
				stop = min(stop, owners[next].Offset)
			}
			name, metaEnd, ok := "", int64(0), false
			if meta != nil {
				name, metaEnd, ok = meta.MetadataAt(off)
			}
			switch {
			case ok:
				stop = min(stop, max(metaEnd, off+1))
				byStructure[name] += stop - off
			default:
				freed += stop - off
			}
			off = stop
		}
	}

	var rows []FileGrowth
	for i, f := range files {
		if byFile[i] == 0 {
			continue
		}
		row := FileGrowth{Path: f.Path, Bytes: byFile[i], FileSize: f.Size}
		row.Cause, row.Relation = classify(f, names)
		rows = append(rows, row)
	}
	for name, bytes := range byStructure {
		rows = append(rows, FileGrowth{Path: name, Cause: CauseFilesystem, Bytes: bytes})
	}
	if freed > 0 {
		rows = append(rows, FileGrowth{Path: "blocks of files that are gone", Cause: CauseFreed, Bytes: freed})
	}
	return summarize(rows, names != nil)
}

// summarize adds the files' rows up by relation and by cause. asked says that
// somebody was asked for names.
func summarize(rows []FileGrowth, asked bool) Report {
	r := Report{Files: rows, Causes: []CauseGrowth{}, Relations: []RelationGrowth{}}
	if r.Files == nil {
		r.Files = []FileGrowth{}
	}
	causes := map[Cause]int64{}
	relations := map[Relation]*RelationGrowth{}
	unnamed := 0
	for _, row := range rows {
		r.Total += row.Bytes
		causes[row.Cause] += row.Bytes
		if row.Relation == nil {
			continue
		}
		sum := relations[*row.Relation]
		if sum == nil {
			sum = &RelationGrowth{Relation: *row.Relation}
			relations[*row.Relation] = sum
		}
		sum.Bytes += row.Bytes
		sum.Files++
	}
	for cause, bytes := range causes {
		r.Causes = append(r.Causes, CauseGrowth{cause, bytes})
	}
	for _, sum := range relations {
		r.Relations = append(r.Relations, *sum)
		if sum.Name == "" && asked {
			unnamed++
		}
	}
	switch {
	case unnamed == 1:
		r.Notes = append(r.Notes, "One relation is shown by the number of its file: the catalogue does not know it, as it was dropped or rewritten since.")
	case unnamed > 1:
		r.Notes = append(r.Notes, fmt.Sprintf("%d relations are shown by the number of their file: the catalogue does not know them, as they were dropped or rewritten since.", unnamed))
	}
	slices.SortFunc(r.Files, func(a, b FileGrowth) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Path, b.Path))
	})
	slices.SortFunc(r.Causes, func(a, b CauseGrowth) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Cause, b.Cause))
	})
	slices.SortFunc(r.Relations, func(a, b RelationGrowth) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.String(), b.String()))
	})
	return r
}
