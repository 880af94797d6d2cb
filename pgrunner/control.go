package pgrunner

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// States of a cluster in pg_control (DBState in catalog/pg_control.h) in which
// it was shut down cleanly. The state lies at offset 16, after the system
// identifier, the control file's version and the catalog's, in every version.
const (
	dbShutdowned           = 1
	dbShutdownedInRecovery = 2
	controlStateOffset     = 16
)

// refuseUnsafe returns ErrUnsafe if the server would start from a point that
// is not consistent and say nothing: pages copied while they were written,
// and no backup_label that says where the WAL has to be replayed from.
func refuseUnsafe(data string, c Config) error {
	v, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return fmt.Errorf("this is not a data directory: %w", err)
	}
	// Before 10, PG_VERSION has two parts.
	if n, _, _ := strings.Cut(strings.TrimSpace(string(v)), "."); n != strconv.Itoa(c.Major) {
		return fmt.Errorf("%s holds PostgreSQL %s, not %d", data, strings.TrimSpace(string(v)), c.Major)
	}
	state, err := controlState(filepath.Join(data, "global", "pg_control"))
	if err != nil {
		return err
	}
	_, err = os.Lstat(filepath.Join(data, "backup_label"))
	if err == nil || c.CrashConsistent || state == dbShutdowned || state == dbShutdownedInRecovery {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%w: %s was copied from a running server (pg_control state %d) and has no backup_label, "+
		"so PostgreSQL would start it with pages of different times, without a word; find the backup_label of this "+
		"backup, or say that it is a crash-consistent snapshot if it is one", ErrUnsafe, data, state)
}

func controlState(path string) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("this data directory has no pg_control: %w", err)
	}
	defer f.Close()
	var b [controlStateOffset + 4]byte
	if _, err := io.ReadFull(f, b[:]); err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	// A cluster of the other byte order is refused by PostgreSQL itself.
	return binary.LittleEndian.Uint32(b[controlStateOffset:]), nil
}
