package snapshot

import (
	"cmp"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// preflight draws up the checks that need more than one file. Each appends at
// least one finding, good ones too, so that a report shows what was looked at.
func (r *reader) preflight(skippedIncludes []string) {
	r.checkVersion()
	r.checkArchitecture()
	r.checkConsistency()
	r.checkWAL()
	r.checkTablespaces()
	r.checkLeftovers()
	r.checkChecksums()
	r.checkUnlogged()
	r.checkCatalog()
	r.checkSettings(skippedIncludes)
	r.checkReading()
}

func (r *reader) checkVersion() {
	id := r.s.Identity
	detail := fmt.Sprintf("PostgreSQL %d, catalog %d, system identifier %d", id.PGVersion, id.CatalogVersion, id.SystemID)
	if want := catalogVersions[id.PGVersion]; id.CatalogVersion != want {
		r.add(Check{
			Name: "version", Outcome: Refuse, class: ErrUnsupported,
			Detail: fmt.Sprintf("%s: released PostgreSQL %d has catalog %d; this is a fork, or a beta", detail, id.PGVersion, want),
		})
		return
	}
	r.add(Check{Name: "version", Outcome: OK, Detail: detail})
}

// checkArchitecture refuses what no server for this machine can read.
func (r *reader) checkArchitecture() {
	c := r.control
	var why []string
	if c.BigEndian {
		why = append(why, "big-endian")
	}
	if c.MaxAlign != 8 {
		why = append(why, fmt.Sprintf("aligned to %d bytes (a 32-bit host)", c.MaxAlign))
	}
	if c.BlockSize != 8192 {
		why = append(why, fmt.Sprintf("pages of %d bytes", c.BlockSize))
	}
	if c.RelSegBlocks != 131072 {
		why = append(why, fmt.Sprintf("segments of %d pages", c.RelSegBlocks))
	}
	if c.WALBlockSize != 8192 {
		why = append(why, fmt.Sprintf("WAL blocks of %d bytes", c.WALBlockSize))
	}
	if len(why) > 0 {
		r.add(Check{
			Name: "architecture", Outcome: Refuse, class: ErrUnsupported,
			Detail: "the cluster was made by a PostgreSQL built otherwise: " + strings.Join(why, ", "),
			Remedy: "it needs a server built the same way",
		})
		return
	}
	r.add(Check{Name: "architecture", Outcome: OK, Detail: "little-endian, 64 bits, 8 KiB pages, 1 GiB segments"})
}

// checkConsistency decides whether recovery will bring the files to one state.
func (r *reader) checkConsistency() {
	state := r.s.Identity.State
	switch {
	case r.label != nil && r.label.IncrementalFromLSN != 0:
		r.add(Check{
			Name: "consistency", Outcome: Refuse, class: ErrUnsupported,
			Detail: fmt.Sprintf("an incremental backup from %s on; without its predecessors it is not a data directory", r.label.IncrementalFromLSN),
			Remedy: "open the folder that holds the whole chain",
		})
	case r.label != nil:
		r.add(Check{Name: "consistency", Outcome: OK, Detail: fmt.Sprintf("backup_label: recovery starts at %s, checkpoint %s", r.label.StartLSN, r.label.CheckpointLSN)})
	case state == StateShutDown || state == StateShutDownInRecovery:
		r.add(Check{Name: "consistency", Outcome: OK, Detail: "no backup_label; the server was " + state.String() + ", so this is a cold copy"})
	case r.s.CrashConsistent:
		r.add(Check{
			Name: "consistency", Outcome: Warn,
			Detail: fmt.Sprintf("no backup_label and the server was %s: opened as after a power failure, which is right if the image was taken at one instant, and shows wrong data if it was copied while it was written to", state),
		})
	case r.opts.AssumeCrashConsistent:
		r.add(Check{Name: "consistency", Outcome: Warn, Detail: fmt.Sprintf("no backup_label and the server was %s: opened as a crash-consistent image because that was asked for", state)})
	default:
		r.add(Check{
			Name: "consistency", Outcome: Refuse,
			Detail: fmt.Sprintf("backup_label is missing and the server was %s when its files were copied: PostgreSQL would start and silently show wrong data", state),
			Remedy: "find the backup_label that belongs to it; only if this is an atomic snapshot of the whole storage, say so with --assume-crash-consistent",
		})
	}
}

// checkWAL compares the segments that recovery needs with those there are.
func (r *reader) checkWAL() {
	id := &r.s.Identity
	r.segments = map[string]int64{}
	list, err := r.s.Tree.ReadDir("data/pg_wal")
	if err != nil {
		r.add(Check{Name: "wal", Outcome: Refuse, class: ErrDamaged, Detail: "there is no pg_wal directory", Remedy: "name the directory that holds the WAL"})
		return
	}
	for _, e := range list {
		if _, _, ok := ParseSegmentName(e.Name(), id.WALSegmentSize); ok {
			if info, err := e.Info(); err == nil {
				r.segments[e.Name()] = info.Size()
			}
		}
	}
	ranges, end := r.neededWAL()
	// a segment copied at a switch of timelines carries its ancestor's WAL too
	anyTimeline := map[string]bool{}
	for name := range r.segments {
		anyTimeline[name[8:]] = true
	}
	var missing, short []string
	needed := 0
	for _, w := range ranges {
		for at := w.Start - w.Start%LSN(id.WALSegmentSize); at < w.End || at <= w.Start; at += LSN(id.WALSegmentSize) {
			name := SegmentName(w.Timeline, at, id.WALSegmentSize)
			size, ok := r.segments[name]
			needed++
			switch {
			case !ok && !anyTimeline[name[8:]]:
				missing = append(missing, name)
			case ok && size != int64(id.WALSegmentSize):
				short = append(short, fmt.Sprintf("%s (%d bytes of %d)", name, size, id.WALSegmentSize))
			}
			if len(missing) > 1000 || needed > 1<<20 {
				break
			}
		}
	}
	var parts []string
	if len(missing) > 0 {
		what := fmt.Sprintf("%d WAL segments are missing", len(missing))
		if len(missing) == 1 {
			what = "one WAL segment is missing"
		}
		parts = append(parts, what+" from pg_wal: "+some(missing))
	}
	if len(short) > 0 {
		parts = append(parts, "WAL segments cut short: "+some(short))
	}
	switch {
	case len(parts) > 0:
		r.add(Check{
			Name: "wal", Outcome: Refuse,
			Detail: strings.Join(parts, "; ") + fmt.Sprintf(" (recovery needs %s to %s)", id.RedoLSN, end),
			Remedy: "put them into a directory and name it with --wal-dir, or take backups with -X stream",
		})
	case r.label != nil && id.EndLSN == 0:
		r.add(Check{
			Name: "wal", Outcome: Warn,
			Detail: fmt.Sprintf("WAL from %s on is there; where the backup ends is not recorded (no manifest, no .backup file), so whether it suffices shows only in recovery", id.RedoLSN),
		})
	default:
		r.add(Check{Name: "wal", Outcome: OK, Detail: fmt.Sprintf("%d of %d segments needed, %s to %s on timeline %d", needed, len(r.segments), id.RedoLSN, end, id.Timeline)})
	}
}

// neededWAL returns the ranges that recovery must find, and their end for people.
func (r *reader) neededWAL() (ranges []WALRange, end string) {
	id := r.s.Identity
	if r.manifest != nil && len(r.manifest.WALRanges) > 0 && r.label != nil {
		return r.manifest.WALRanges, id.EndLSN.String()
	}
	w := WALRange{Timeline: id.Timeline, Start: id.RedoLSN, End: max(id.CheckpointLSN+1, id.RedoLSN)}
	if id.EndLSN > w.End && (id.EndLSN-w.End) < 1<<40 {
		w.End = id.EndLSN
		return []WALRange{w}, w.End.String()
	}
	return []WALRange{w}, "the end of the backup"
}

func (r *reader) checkTablespaces() {
	have, wanted := map[uint32]bool{}, map[uint32]string{}
	if b, err := r.small("tablespace_map"); err == nil {
		m, err := ParseTablespaceMap(b)
		if err != nil {
			r.add(Check{Name: "tablespaces", Outcome: Refuse, class: ErrDamaged, Detail: err.Error()})
		}
		for oid, dir := range m {
			wanted[oid] = dir
		}
	}
	for i := range r.s.Tablespaces {
		ts := &r.s.Tablespaces[i]
		have[ts.OID] = true
		if ts.Original == "" {
			ts.Original = wanted[ts.OID]
		}
		if ts.Original != "" {
			r.add(Check{Name: "tablespaces", Outcome: Info, Detail: fmt.Sprintf("tablespace %d, %d files, moved into the image from %s", ts.OID, ts.Files, ts.Original)})
		} else {
			r.add(Check{Name: "tablespaces", Outcome: OK, Detail: fmt.Sprintf("tablespace %d, %d files", ts.OID, ts.Files)})
		}
	}
	list, _ := r.s.Tree.ReadDir("data/pg_tblspc")
	for _, e := range list {
		if oid, err := strconv.ParseUint(e.Name(), 10, 32); err == nil {
			if e.IsDir() {
				have[uint32(oid)] = true // made in place
				continue
			}
			target, _ := r.s.Tree.ReadLink("data/pg_tblspc/" + e.Name())
			if wanted[uint32(oid)] == "" {
				wanted[uint32(oid)] = target
			}
		}
	}
	for oid := range r.lost { // a copy that left out links has no other trace of it
		wanted[oid] = cmp.Or(wanted[oid], "which backup_manifest names")
	}
	for oid, dir := range wanted {
		if !have[oid] {
			r.add(Check{
				Name: "tablespaces", Outcome: Refuse,
				Detail: fmt.Sprintf("the files of tablespace %d (%s) are not in the backup", oid, dir),
				Remedy: fmt.Sprintf("say where they are with --tablespace %d=DIR", oid),
			})
		}
	}
	if len(wanted)+len(have) == 0 {
		r.add(Check{Name: "tablespaces", Outcome: OK, Detail: "none besides the two built in"})
	}
}

// checkLeftovers names files of the source host's life that a start must not see.
func (r *reader) checkLeftovers() {
	if r.exists("postmaster.pid") {
		r.add(Check{
			Name: "postmaster.pid", Outcome: Warn,
			Detail: "postmaster.pid is in the backup: the files were copied from a running server, or the server runs on them now; the session leaves the file out",
			Remedy: "make sure that no server is running on these files",
		})
	}
	var signals []string
	for _, name := range []string{"recovery.signal", "standby.signal", "recovery.conf"} {
		if r.exists(name) {
			signals = append(signals, name)
		}
	}
	if len(signals) > 0 {
		r.add(Check{Name: "recovery files", Outcome: Info, Detail: strings.Join(signals, ", ") + " in the backup: left out, the session recovers by its own rules"})
	}
}

func (r *reader) checkChecksums() {
	if r.s.Identity.Checksums {
		r.add(Check{Name: "checksums", Outcome: OK, Detail: "data pages carry checksums; PostgreSQL verifies each page it reads"})
		return
	}
	r.add(Check{Name: "checksums", Outcome: Info, Detail: "data pages carry no checksums: damage inside a page would not be noticed"})
}

// checkUnlogged lists relations with an init fork: they come up empty.
func (r *reader) checkUnlogged() {
	var found []string
	scan := func(dir string) {
		list, _ := r.s.Tree.ReadDir(dir)
		for _, e := range list {
			if name, ok := strings.CutSuffix(e.Name(), "_init"); ok && name != "" && strings.Trim(name, "0123456789") == "" {
				found = append(found, path.Join(strings.TrimPrefix(dir, "data/"), name))
			}
		}
	}
	list, _ := r.s.Tree.ReadDir("data/base")
	for _, db := range list {
		scan("data/base/" + db.Name())
	}
	for _, ts := range r.s.Tablespaces {
		top := fmt.Sprintf("tablespaces/%d", ts.OID)
		versions, _ := r.s.Tree.ReadDir(top)
		for _, v := range versions {
			dbs, _ := r.s.Tree.ReadDir(path.Join(top, v.Name()))
			for _, db := range dbs {
				scan(path.Join(top, v.Name(), db.Name()))
			}
		}
	}
	if len(found) > 0 {
		r.add(Check{Name: "unlogged tables", Outcome: Warn, Detail: fmt.Sprintf("%d unlogged relations (tables, indexes, sequences) whose contents no physical backup holds: %s", len(found), some(found))})
		return
	}
	r.add(Check{Name: "unlogged tables", Outcome: OK, Detail: "none"})
}

func (r *reader) checkSettings(skipped []string) {
	n := 0
	for _, s := range r.s.Settings {
		if s.Effect != "" {
			n++
		}
		if strings.HasSuffix(s.Name, "_preload_libraries") && s.Value != "" {
			r.add(Check{
				Name: "preload libraries", Outcome: Warn,
				Detail: fmt.Sprintf("%s = %.200q is not loaded; tables that need an access method of such a library cannot be read", s.Name, s.Value),
			})
		}
	}
	r.add(Check{Name: "settings", Outcome: Info, Detail: fmt.Sprintf("%d settings of the source host, %d of them replaced or dropped", len(r.s.Settings), n)})
	if len(skipped) > 0 {
		r.add(Check{Name: "settings", Outcome: Info, Detail: "included configuration that the backup does not hold: " + some(skipped)})
	}
}

// checkReading says what opening will read, before anybody queries anything.
func (r *reader) checkReading() {
	id := &r.s.Identity
	wal := "the WAL that is there"
	if id.EndLSN > id.RedoLSN && id.EndLSN-id.RedoLSN < 1<<50 {
		wal = fmt.Sprintf("%s of WAL", inBytes(int64(id.EndLSN-id.RedoLSN)))
	}
	r.add(Check{Name: "reading", Outcome: Info, Detail: fmt.Sprintf(
		"opening replays %s and reads the pages that it changes, and the system catalogue's first; the other %s are read when they are asked for",
		wal, inBytes(r.s.Size.Bytes))})
}

// inBytes is a size for people.
func inBytes(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	size, unit := float64(n), 0
	for size /= 1 << 10; size >= 1<<10; unit++ {
		size /= 1 << 10
	}
	return fmt.Sprintf("%.3g %ciB", size, units[unit])
}
