package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// A Draft is what a source found before the backup's own files were read.
type Draft struct {
	Kind        Kind
	Ref         string
	Builder     *Builder
	Counter     *Counter
	Tablespaces map[uint32]string // OID to Tablespace.Original
	Checks      []Check           // the source's own findings
	Indexes     []Index           // what the source keeps in the cache to read the backup

	// Parts are snapshots that this one reads through; it closes them and
	// counts what they read as its own.
	Parts []*Snapshot

	// CrashConsistent is Snapshot.CrashConsistent.
	CrashConsistent bool

	// WAL holds segments and history files that lie outside of the backup
	// and may complete it, by name. Those that recovery needs are shown in
	// data/pg_wal; more would carry recovery past the end of the backup.
	WAL     map[string]WALFile
	WALFrom string // where they lie, for people; empty: Options.WALDir

	// EndLSN and StopTime are where and when the backup ended, if the source
	// knows.
	EndLSN   LSN
	StopTime time.Time

	Closers []io.Closer // closed in reverse by Snapshot.Close
}

// A WALFile is a file of a WAL archive.
type WALFile struct {
	Size    int64
	Content Content
	Meta    Meta
}

// reader is the state of one Identify.
type reader struct {
	ctx      context.Context
	opts     Options
	s        *Snapshot
	control  *Control
	label    *Label
	manifest *Manifest       // nil: none; Files is 0 if only its end was read
	lost     map[uint32]bool // tablespaces that the manifest has files of and the tree has not
	segments map[string]int64
	extraWAL map[string]WALFile
	draft    *Draft
}

// Identify reads what the draft's files say of themselves, runs the preflight
// checks and returns the snapshot. On error the draft's closers were called.
// The snapshot may be one not to open: see Snapshot.Err.
func Identify(ctx context.Context, d Draft, opts Options) (*Snapshot, error) {
	t := d.Builder.finish()
	if d.Counter == nil {
		d.Counter = &Counter{}
	}
	s := &Snapshot{
		Kind: d.Kind, Ref: d.Ref, Tree: t, tree: t,
		counter: d.Counter, closers: d.Closers, Checks: d.Checks, parts: d.Parts, indexes: d.Indexes,
		CrashConsistent: d.CrashConsistent,
	}
	for _, p := range d.Parts {
		s.closers = append(s.closers, p)
	}
	r := &reader{lost: map[uint32]bool{}, ctx: ctx, opts: opts, s: s, extraWAL: d.WAL, draft: &d}
	if err := r.identify(d.Tablespaces); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", d.Ref, err), s.Close())
	}
	for _, c := range s.Checks {
		if c.Outcome == Warn {
			s.Warnings = append(s.Warnings, c.Detail)
		}
	}
	return s, nil
}

func (r *reader) identify(originals map[uint32]string) error {
	id := &r.s.Identity
	if err := r.readVersion(id); err != nil {
		return err
	}
	if err := r.readControl(id); err != nil {
		return err
	}
	if err := r.readLabel(id); err != nil {
		return err
	}
	id.EndLSN = max(id.EndLSN, r.draft.EndLSN)
	if !r.draft.StopTime.IsZero() {
		id.StopTime = r.draft.StopTime
	}
	r.readTablespaces(originals)
	if err := r.readManifest(id); err != nil {
		return err
	}
	r.addWAL()
	r.countFiles()
	var skipped []string
	r.s.Settings, skipped = readSettings(r.small, r.names)
	if err := r.ctx.Err(); err != nil {
		return err
	}
	r.preflight(skipped)
	return nil
}

// small reads a text file below data/ whole; more than maxSmallFile bytes are
// damage.
func (r *reader) small(name string) ([]byte, error) {
	f, err := r.s.Tree.Open(path.Join("data", name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSmallFile+1))
	if err == nil && len(b) > maxSmallFile {
		err = Errorf(ErrDamaged, "%s has more than %d bytes", name, maxSmallFile)
	}
	return b, err
}

func (r *reader) names(name string) ([]string, error) {
	list, err := r.s.Tree.ReadDir(path.Join("data", name))
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Name()
	}
	return names, err
}

func (r *reader) exists(name string) bool {
	_, err := r.s.Tree.Lstat(path.Join("data", name))
	return err == nil
}

func (r *reader) readVersion(id *Identity) error {
	b, err := r.small("PG_VERSION")
	if errors.Is(err, fs.ErrNotExist) {
		return Errorf(ErrNotABackup, "no PG_VERSION: this is not a PostgreSQL data directory")
	}
	if err != nil {
		return err
	}
	v := strings.TrimSpace(string(b))
	major, err := strconv.Atoi(v)
	switch {
	case strings.HasPrefix(v, "9.") || strings.HasPrefix(v, "8."), err == nil && (major < MinMajor || major > MaxMajor):
		return Errorf(ErrUnsupported, "PostgreSQL %.10s: this build opens %d to %d", v, MinMajor, MaxMajor)
	case err != nil:
		return Errorf(ErrDamaged, "PG_VERSION holds %.20q, not a version", v)
	}
	id.PGVersion = major
	return nil
}

func (r *reader) readControl(id *Identity) error {
	f, err := r.s.Tree.Open("data/global/pg_control")
	if errors.Is(err, fs.ErrNotExist) {
		return Errorf(ErrDamaged, "global/pg_control is missing: pg_basebackup writes it last, so the backup is cut short (or not a whole data directory)")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, controlSize)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	c, err := ParseControl(b[:n])
	if err != nil {
		return err
	}
	r.control = c
	id.SystemID, id.Timeline = c.SystemID, c.Timeline
	id.CheckpointLSN, id.RedoLSN, id.StartLSN = c.CheckpointLSN, c.RedoLSN, c.RedoLSN
	id.State, id.Checksums = c.State, c.ChecksumVersion != 0
	id.InRecovery = c.State == StateArchiveRecovery || c.State == StateShutDownInRecovery
	id.CatalogVersion, id.ControlVersion = c.CatalogVersion, c.ControlVersion
	id.BlockSize, id.RelSegBlocks = int(c.BlockSize), int(c.RelSegBlocks)
	id.WALBlockSize, id.WALSegmentSize = int(c.WALBlockSize), int(c.WALSegmentSize)
	id.Limits = c.Limits
	id.EndLSN = c.MinRecoveryLSN
	return nil
}

func (r *reader) readLabel(id *Identity) error {
	b, err := r.small("backup_label")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	l, err := ParseLabel(b)
	if err != nil {
		return err
	}
	r.label = l
	id.IncrementalFromLSN, id.IncrementalFromTLI = l.IncrementalFromLSN, l.IncrementalFromTLI
	id.LabelName, id.FromStandby = l.Name, l.From == "standby"
	id.StartLSN, id.RedoLSN, id.CheckpointLSN = l.StartLSN, l.StartLSN, l.CheckpointLSN
	if l.Timeline != 0 {
		id.Timeline = l.Timeline
	} else if tli, _, ok := ParseSegmentName(l.StartFile, id.WALSegmentSize); ok {
		id.Timeline = tli // PostgreSQL 10 writes no START TIMELINE
	}
	var ok bool
	if id.StartTime, ok = labelTime(l.StartTime); !ok {
		// an ambiguous time zone; the checkpoint was a moment before
		id.StartTime = r.control.CheckpointTime
	}
	r.readBackupHistory(id)
	return nil
}

// readBackupHistory looks for the history file of this very backup, which
// PostgreSQL archives and sometimes leaves in pg_wal; it knows the end.
func (r *reader) readBackupHistory(id *Identity) {
	off := uint64(r.label.StartLSN) % uint64(id.WALSegmentSize)
	name := fmt.Sprintf("%s.%08X.backup", SegmentName(id.Timeline, r.label.StartLSN, id.WALSegmentSize), off)
	b, err := r.small(path.Join("pg_wal", name))
	if err != nil {
		return
	}
	l, err := ParseLabel(b)
	if err != nil || l.StartLSN != r.label.StartLSN {
		return
	}
	id.EndLSN = l.StopLSN
	if t, ok := labelTime(l.StopTime); ok {
		id.StopTime = t
	}
}

func (r *reader) readTablespaces(originals map[uint32]string) {
	list, err := r.s.Tree.ReadDir("tablespaces")
	if err != nil {
		return
	}
	for _, e := range list {
		oid, err := strconv.ParseUint(e.Name(), 10, 32)
		if err == nil && e.IsDir() {
			r.s.Tablespaces = append(r.s.Tablespaces, Tablespace{OID: uint32(oid), Original: originals[uint32(oid)]})
		}
	}
}

// addWAL shows in pg_wal what recovery needs from outside of the backup.
func (r *reader) addWAL() {
	if len(r.extraWAL) == 0 {
		return
	}
	dir, err := r.s.tree.walk("data/pg_wal", true, 0)
	if err != nil || !dir.mode.IsDir() {
		data := r.s.tree.root.children["data"]
		dir = newDir("pg_wal")
		data.children["pg_wal"] = dir
	}
	ranges, _ := r.neededWAL()
	segSize, added := r.s.Identity.WALSegmentSize, 0
	for name, f := range r.extraWAL {
		tli, start, ok := ParseSegmentName(name, segSize)
		needed := strings.HasSuffix(name, ".history")
		for _, w := range ranges {
			if ok && tli == w.Timeline && start+LSN(segSize) > w.Start && (start < w.End || r.s.Identity.EndLSN == 0) {
				needed = true
			}
		}
		if needed && dir.children[name] == nil {
			dir.children[name] = &node{
				name: name, mode: 0o600, size: f.Size, content: f.Content, mtime: f.Meta.ModTime,
				sys: f.Meta.sys(),
			}
			added++
		}
	}
	sortNodes(r.s.tree.root)
	from := r.draft.WALFrom
	if from == "" {
		from = r.opts.WALDir
	}
	r.add(Check{Name: "wal", Outcome: Info, Detail: fmt.Sprintf("%d files taken from %s", added, from)})
}

// some lists at most ten of the names.
func some(names []string) string {
	if len(names) > 10 {
		return strings.Join(names[:10], ", ") + fmt.Sprintf(" and %d more", len(names)-10)
	}
	return strings.Join(names, ", ")
}

// countFiles sums up the tree.
func (r *reader) countFiles() {
	var walk func(n *node) Size
	walk = func(n *node) (s Size) {
		for _, c := range n.sorted {
			switch {
			case c.mode.IsDir():
				sub := walk(c)
				s.Bytes += sub.Bytes
				s.Files += sub.Files
			case c.mode.IsRegular():
				s.Bytes += c.size
				s.Files++
			}
		}
		return s
	}
	r.s.Size = walk(r.s.tree.root)
	for i := range r.s.Tablespaces {
		ts := &r.s.Tablespaces[i]
		if n, err := r.s.tree.walk(fmt.Sprintf("tablespaces/%d", ts.OID), false, 0); err == nil {
			sub := walk(n)
			ts.Bytes, ts.Files = sub.Bytes, sub.Files
		}
	}
}

func (r *reader) add(c Check) { r.s.Checks = append(r.s.Checks, c) }
