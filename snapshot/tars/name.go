package tars

import (
	"slices"
	"strconv"
	"strings"
)

// suffixes of compressed tars that backup tools and people use.
var suffixes = []string{"", ".gz", ".lz4", ".zst", ".bz2", ".xz", ".snappy"}

// Roles of tars besides the OIDs of tablespaces.
const (
	roleWAL = "pg_wal"

	// Base is the role of the tar with the data directory in a folder of
	// pg_basebackup -Ft, CloudBase in one of barman-cloud-backup.
	Base      = "base"
	CloudBase = "data"
)

// Role returns the role that a file in a folder of pg_basebackup -Ft has by its
// name, with or without a suffix of compression: Base, "pg_wal" or an OID.
func Role(name string) (role string, ok bool) {
	role, _, ok = split(name, Base)
	return role, ok
}

// split returns the role of a file in a folder whose tar of the data directory
// is called main. Where that is CloudBase, a tar may be split: part is the
// number of a part behind the first, 0 for that.
func split(name, main string) (role string, part int, ok bool) {
	role, suffix, ok := strings.Cut(name, ".tar")
	if !ok || !slices.Contains(suffixes, suffix) {
		return "", 0, false
	}
	if stem, n, more := strings.Cut(role, "_"); more && main == CloudBase {
		number, err := strconv.ParseUint(n, 10, 16)
		if err != nil || number == 0 || len(n) < 4 {
			return "", 0, false
		}
		role, part = stem, int(number)
	}
	oid, err := strconv.ParseUint(role, 10, 32)
	isOID := err == nil && strconv.FormatUint(oid, 10) == role
	return role, part, isOID || role == main || role == roleWAL && main == Base
}

// IsCloud reports whether a file is the tar with the data directory in a folder
// of barman-cloud-backup, or its first part.
func IsCloud(name string) bool {
	role, part, ok := split(name, CloudBase)
	return ok && role == CloudBase && part == 0
}
