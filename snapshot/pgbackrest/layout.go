package pgbackrest

import (
	"bytes"
	"path"
	"regexp"
	"strconv"

	"github.com/snapview/snapview/snapshot/pgbackrest/cipher"
)

var (
	labelPattern = regexp.MustCompile(`^[0-9]{8}-[0-9]{6}F(_[0-9]{8}-[0-9]{6}[DI])?$`)
	namePattern  = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_. -]*$`) // of a stanza
)

// IsLabel tells whether name is one that pgBackRest gives a backup.
func IsLabel(name string) bool { return labelPattern.MatchString(name) }

func isStanza(name string) bool {
	return namePattern.MatchString(name) && name != "." && name != ".."
}

// Names of files in a repository.
const (
	InfoName     = "backup.info"
	ManifestName = "backup.manifest"
	archiveInfo  = "archive.info"
	copySuffix   = ".copy"
	blockSuffix  = ".pgbi"
)

// A stanza is one cluster's place in a repository.
type stanza struct {
	name    string // empty: the store is the stanza's backup folder itself
	backup  string // folder of its backups
	archive string // folder of its WAL; empty if it is not in the store
}

func stanzaAt(name string) stanza {
	return stanza{name: name, backup: path.Join("backup", name), archive: path.Join("archive", name)}
}

// selector is what opens a backup of the stanza, behind the sign "#".
func (s stanza) selector(label string) string {
	if s.name == "" {
		return label
	}
	return s.name + "/" + label
}

// bundle returns the name of a bundle of a backup.
func (s stanza) bundle(label string, id int64) string {
	return path.Join(s.backup, label, "bundle", strconv.FormatInt(id, 10))
}

// IsInfo tells whether a file that begins with head is an info file or
// manifest, encrypted or not.
func IsInfo(head []byte) bool {
	return bytes.HasPrefix(head, []byte(infoHead)) || cipher.Encrypted(head)
}
