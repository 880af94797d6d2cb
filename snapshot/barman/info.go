package barman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
)

// Bounds on a backup.info. Barman keeps statistics of the copy in it, a few
// hundred bytes for each tablespace.
const (
	maxInfo        = 4 << 20
	maxTablespaces = 4096

	defaultSegment = 16 << 20 // bytes; Barman writes nothing for older servers
	minSegment     = 1 << 20
	maxSegment     = 1 << 30
)

// Statuses of a backup whose files are all there (barman, class BackupInfo).
const (
	statusDone    = "DONE"
	statusWaiting = "WAITING_FOR_WALS"
)

// An info is what Barman says of a backup. What it does not say is zero.
type info struct {
	status, failure      string
	name                 string // given by the user
	mode                 string // how it was made: rsync, postgres, snapshot-...
	encryption           string
	parent               string // of an incremental backup (PostgreSQL 17)
	begin, end           time.Time
	beginWAL, endWAL     string // segments
	beginLSN, endLSN     snapshot.LSN
	timeline             uint32
	systemID             uint64
	version              int   // as server_version_num: 150020
	size                 int64 // as it is stored, bytes
	segment              int64 // size of a WAL segment, bytes
	tablespaces          map[uint32]string
	elsewhere, encrypted bool
}

// finished reports whether all files of the data directory were copied.
func (i *info) finished() bool { return i.status == statusDone || i.status == statusWaiting }

// problem says why the backup cannot be opened, or nothing.
func (i *info) problem() string {
	switch {
	case !i.finished():
		text := fmt.Sprintf("Barman did not finish it: its status is %.40s", i.status)
		if i.failure != "" {
			text += fmt.Sprintf(" (%.200s)", i.failure)
		}
		return text
	case i.elsewhere:
		return fmt.Sprintf("its data is kept as snapshots of a cloud's disks (mode %.40s), not here", i.mode)
	case i.encrypted:
		return fmt.Sprintf("its files are encrypted (%.40s): decrypt them first", i.encryption)
	case i.parent != "":
		return fmt.Sprintf("an incremental backup on %.40s: this build takes no chains from Barman's catalogue", i.parent)
	}
	return ""
}

// major returns the major version of PostgreSQL, 0 if it is not known.
func (i *info) major() int { return i.version / 10000 }

// readInfo reads the backup.info at name.
func readInfo(ctx context.Context, store objects.Store, name string) (*info, error) {
	f, err := store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(f.Size(), maxInfo+1))
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	i, err := parseInfo(b)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", store, name, err)
	}
	return i, nil
}

// parseInfo reads a backup.info. Keys that mean nothing here are skipped.
func parseInfo(b []byte) (*info, error) {
	if len(b) > maxInfo {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "more than %d bytes are no backup.info", maxInfo)
	}
	i := &info{segment: defaultSegment, tablespaces: map[uint32]string{}}
	n := 0
	for line := range bytes.Lines(b) {
		n++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, snapshot.Errorf(snapshot.ErrDamaged, "line %d is not key=value: %.60q", n, text)
		}
		if value == "None" {
			continue
		}
		if err := i.set(key, value); err != nil {
			return nil, snapshot.Errorf(snapshot.ErrDamaged, "line %d: %s: %w", n, key, err)
		}
	}
	if i.status == "" {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "it has no status: it is cut short, or no backup.info of Barman's")
	}
	return i, nil
}

func (i *info) set(key, value string) (err error) {
	switch key {
	case "status":
		i.status = value
	case "error":
		i.failure = value
	case "backup_name":
		i.name = value
	case "mode":
		i.mode = value
		i.elsewhere = i.elsewhere || strings.HasPrefix(value, "snapshot")
	case "snapshots_info":
		i.elsewhere = true
	case "encryption":
		i.encryption, i.encrypted = value, value != "none"
	case "parent_backup_id":
		i.parent = value
	case "begin_time":
		i.begin = parseTime(value)
	case "end_time":
		i.end = parseTime(value)
	case "begin_wal", "end_wal":
		if !isSegment(value) {
			return fmt.Errorf("%.40q is not the name of a WAL segment", value)
		}
		if key == "begin_wal" {
			i.beginWAL = value
		} else {
			i.endWAL = value
		}
	case "begin_xlog":
		i.beginLSN, err = snapshot.ParseLSN(value)
	case "end_xlog":
		i.endLSN, err = snapshot.ParseLSN(value)
	case "timeline":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 32)
		i.timeline = uint32(n)
	case "systemid":
		i.systemID, err = strconv.ParseUint(value, 10, 64)
	case "version":
		i.version, err = strconv.Atoi(value)
	case "size":
		i.size, err = strconv.ParseInt(value, 10, 64)
	case "xlog_segment_size":
		i.segment, err = strconv.ParseInt(value, 10, 64)
		if err == nil && (i.segment < minSegment || i.segment > maxSegment || i.segment&(i.segment-1) != 0) {
			err = fmt.Errorf("%d is no size of WAL segments", i.segment)
		}
	case "tablespaces":
		i.tablespaces, err = parseTablespaces(value)
	}
	return err
}

// parseTime reads the forms of time that versions of Barman wrote; others are
// the zero time, for a time is shown and decides nothing.
func parseTime(s string) time.Time {
	for _, layout := range []string{"2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", time.ANSIC} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// isSegment reports whether name is that of a WAL segment, as pg_wal has it.
func isSegment(name string) bool {
	return len(name) == 24 && strings.Trim(name, "0123456789ABCDEF") == ""
}
