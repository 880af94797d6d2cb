package pgbackrest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/snapview/snapview/snapshot"
)

// maxBackups bounds the list of a stanza's backups.
const maxBackups = 1 << 17

// A backup is what backup.info says of one (section backup:current).
type backup struct {
	Label        string       `json:"-"`
	Type         string       `json:"backup-type"` // full, diff, incr
	Prior        string       `json:"backup-prior"`
	References   []string     `json:"backup-reference"` // the backups whose files it uses
	Start        int64        `json:"backup-timestamp-start"`
	Stop         int64        `json:"backup-timestamp-stop"`
	StartLSN     snapshot.LSN `json:"backup-lsn-start"`
	StopLSN      snapshot.LSN `json:"backup-lsn-stop"`
	ArchiveStart string       `json:"backup-archive-start"`
	Bytes        int64        `json:"backup-info-size"`
	Stored       int64        `json:"backup-info-repo-size"`
	DBID         int          `json:"db-id"`
}

// A database is one line of a stanza's history of clusters.
type database struct {
	SystemID uint64 `json:"db-system-id"`
	Version  string `json:"db-version"`
}

// major returns the major version, 0 if it is none of the current scheme.
func (d database) major() int {
	n, err := strconv.Atoi(d.Version)
	if err != nil {
		return 0
	}
	return n
}

// A backupInfo is a backup.info.
type backupInfo struct {
	key       []byte // of the manifests; nil if they are not encrypted
	backups   []backup
	databases map[int]database
	why       error // the original could not be read, this is its copy
}

// backupInfo reads a stanza's list of backups, oldest first.
func (r *repository) backupInfo(ctx context.Context, s stanza) (*backupInfo, error) {
	var info *backupInfo
	why, err := r.read(ctx, path.Join(s.backup, InfoName), r.passphrase, func() visitor {
		info = &backupInfo{databases: map[int]database{}}
		return info.visit
	})
	if err != nil {
		return nil, err
	}
	info.why = why
	slices.SortStableFunc(info.backups, func(a, b backup) int {
		return cmp.Or(cmp.Compare(a.Stop, b.Stop), strings.Compare(a.Label, b.Label))
	})
	return info, nil
}

func (i *backupInfo) visit(section, key string, value []byte) error {
	switch section {
	case "cipher":
		return visitKey(&i.key, key, value)
	case "backup:current":
		b := backup{Label: key}
		if !IsLabel(key) || len(i.backups) == maxBackups {
			return snapshot.Errorf(snapshot.ErrDamaged, "%.80q is not the label of a backup, or one too many", key)
		}
		if err := json.Unmarshal(value, &b); err != nil {
			return snapshot.Errorf(snapshot.ErrDamaged, "backup %s: %w", key, err)
		}
		i.backups = append(i.backups, b)
	case "db:history":
		id, err := strconv.Atoi(key)
		var d database
		if err == nil {
			err = json.Unmarshal(value, &d)
		}
		if err != nil || len(i.databases) == maxBackups {
			return snapshot.Errorf(snapshot.ErrDamaged, "history of the database, %.80q: %w", key, err)
		}
		i.databases[id] = d
	}
	return nil
}

// visitKey takes the key of a section cipher.
func visitKey(dst *[]byte, key string, value []byte) error {
	if key != "cipher-pass" {
		return nil
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil || s == "" {
		return snapshot.Errorf(snapshot.ErrDamaged, "section cipher holds no key")
	}
	*dst = []byte(s)
	return nil
}

// find returns the backup of a label.
func (i *backupInfo) find(label string) (backup, bool) {
	for _, b := range i.backups {
		if b.Label == label {
			return b, true
		}
	}
	return backup{}, false
}

// choose finds the backup that a label, the beginning of one, "latest" or
// nothing names.
func (i *backupInfo) choose(name string) (string, error) {
	if len(i.backups) == 0 {
		return "", snapshot.Errorf(snapshot.ErrNotABackup, "the stanza has no backups: all have expired, or none was finished")
	}
	if name == "" || name == "latest" {
		return i.backups[len(i.backups)-1].Label, nil
	}
	if _, ok := i.find(name); ok {
		return name, nil
	}
	var found, all []string
	for _, b := range slices.Backward(i.backups) {
		if strings.HasPrefix(b.Label, name) {
			found = append(found, b.Label)
		}
		all = append(all, b.Label)
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", snapshot.Errorf(snapshot.ErrNotABackup, "no backup %q; there are %s", name, some(all))
	}
	return "", snapshot.Errorf(snapshot.ErrNotABackup, "%q may be %s: give more of the label", name, some(found))
}

// some lists at most ten of the names.
func some(names []string) string {
	if len(names) > 10 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:10], ", "), len(names)-10)
	}
	return strings.Join(names, ", ")
}

// unixTime is the time of a count of seconds; the zero time for 0.
func unixTime(seconds int64) time.Time {
	if seconds <= 0 || seconds > 1<<40 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
