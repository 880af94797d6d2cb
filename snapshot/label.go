package snapshot

import (
	"strconv"
	"strings"
	"time"
)

// maxSmallFile bounds the text files read whole: backup_label,
// tablespace_map, a history file, a configuration file.
const maxSmallFile = 1 << 20

// A Label is a backup_label, or a backup history file in pg_wal (NAME.backup),
// which has the end of the backup besides.
type Label struct {
	StartLSN      LSN
	StartFile     string // the WAL segment that holds StartLSN
	CheckpointLSN LSN
	StopLSN       LSN // of a history file
	StopTimeline  uint32
	Method        string // streamed, pg_start_backup
	From          string // primary, standby
	StartTime     string // as written, in the source's log_timezone
	StopTime      string
	Name          string // LABEL
	Timeline      uint32

	// Set in an incremental backup of PostgreSQL 17 and later.
	IncrementalFromLSN LSN
	IncrementalFromTLI uint32
}

// ParseLabel reads a backup_label or backup history file (do_pg_backup_start
// and build_backup_content in PostgreSQL's source). Unknown lines are
// skipped: later versions add some.
func ParseLabel(b []byte) (*Label, error) {
	l := &Label{}
	var err error
	lsn := func(dst *LSN, s string) {
		s, _, _ = strings.Cut(s, " ")
		if v, e := ParseLSN(s); e != nil && err == nil {
			err = e
		} else {
			*dst = v
		}
	}
	tli := func(dst *uint32, s string) {
		v, e := strconv.ParseUint(s, 10, 32)
		if e != nil && err == nil {
			err = e
		}
		*dst = uint32(v)
	}
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ": ")
		if !ok {
			continue
		}
		switch key {
		case "START WAL LOCATION":
			lsn(&l.StartLSN, value)
			if _, f, ok := strings.Cut(value, "(file "); ok {
				l.StartFile = strings.TrimSuffix(f, ")")
			}
		case "STOP WAL LOCATION":
			lsn(&l.StopLSN, value)
		case "CHECKPOINT LOCATION":
			lsn(&l.CheckpointLSN, value)
		case "BACKUP METHOD":
			l.Method = value
		case "BACKUP FROM":
			l.From = value
		case "START TIME":
			l.StartTime = value
		case "STOP TIME":
			l.StopTime = value
		case "LABEL":
			l.Name = value
		case "START TIMELINE":
			tli(&l.Timeline, value)
		case "STOP TIMELINE":
			tli(&l.StopTimeline, value)
		case "INCREMENTAL FROM LSN":
			lsn(&l.IncrementalFromLSN, value)
		case "INCREMENTAL FROM TLI":
			tli(&l.IncrementalFromTLI, value)
		}
	}
	if err != nil {
		return nil, Errorf(ErrDamaged, "backup_label: %w", err)
	}
	if l.StartLSN == 0 || l.CheckpointLSN == 0 {
		return nil, Errorf(ErrDamaged, "backup_label has no START WAL LOCATION or no CHECKPOINT LOCATION: it is cut short or not PostgreSQL's")
	}
	if len(l.StartFile) > MaxName {
		l.StartFile = ""
	}
	return l, nil
}

// labelTime reads a label's time. Abbreviations of time zones are ambiguous
// (IST, CST), so only those of UTC are believed; ok is false for others.
func labelTime(s string) (time.Time, bool) {
	day, zone := s, ""
	if i := strings.LastIndexByte(s, ' '); i > 0 {
		day, zone = s[:i], s[i+1:]
	}
	t, err := time.Parse("2006-01-02 15:04:05", day)
	if err != nil {
		return time.Time{}, false
	}
	switch zone {
	case "UTC", "GMT", "Z":
		return t, true
	}
	for _, layout := range []string{"-07", "-0700"} { // log_timezone without an abbreviation: +03
		if off, err := time.Parse(layout, zone); err == nil {
			_, seconds := off.Zone()
			return t.Add(-time.Duration(seconds) * time.Second), true
		}
	}
	return time.Time{}, false
}

// ParseTablespaceMap reads a tablespace_map: lines "oid path" that pg_basebackup
// -Ft and low-level backups write instead of links. A backslash escapes a
// newline, carriage return or backslash in the path.
func ParseTablespaceMap(b []byte) (map[uint32]string, error) {
	m := map[uint32]string{}
	for len(b) > 0 {
		var line []byte
		escaped := false
		i := 0
		for ; i < len(b); i++ {
			c := b[i]
			if !escaped && c == '\\' {
				escaped = true
				continue
			}
			if !escaped && (c == '\n' || c == '\r') {
				break
			}
			escaped = false
			line = append(line, c)
		}
		b = b[min(i+1, len(b)):]
		if len(line) == 0 {
			continue
		}
		oid, dir, ok := strings.Cut(string(line), " ")
		n, err := strconv.ParseUint(oid, 10, 32)
		if !ok || err != nil || n == 0 || dir == "" || len(dir) > MaxPath {
			return nil, Errorf(ErrDamaged, "tablespace_map: %.80q is not an OID and a path", line)
		}
		if _, twice := m[uint32(n)]; twice {
			return nil, Errorf(ErrDamaged, "tablespace_map names tablespace %d twice", n)
		}
		m[uint32(n)] = dir
	}
	return m, nil
}

// A TimelineSwitch is one line of a timeline history file.
type TimelineSwitch struct {
	Parent uint32
	LSN    LSN // the first position that is not the parent's
	Reason string
}

// ParseHistory reads a timeline history file: the ancestors of a timeline,
// oldest first.
func ParseHistory(b []byte) ([]TimelineSwitch, error) {
	var list []TimelineSwitch
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			return nil, Errorf(ErrDamaged, "timeline history: %.80q lacks a timeline or a position", line)
		}
		tli, err := strconv.ParseUint(f[0], 10, 32)
		lsn, err2 := ParseLSN(f[1])
		if err != nil || err2 != nil || tli == 0 {
			return nil, Errorf(ErrDamaged, "timeline history: %.80q is not a timeline and a position", line)
		}
		if n := len(list); n > 0 && uint32(tli) <= list[n-1].Parent {
			return nil, Errorf(ErrDamaged, "timeline history: timeline %d comes after %d", tli, list[n-1].Parent)
		}
		list = append(list, TimelineSwitch{uint32(tli), lsn, strings.Join(f[2:], " ")})
	}
	return list, nil
}
