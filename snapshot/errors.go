package snapshot

import (
	"errors"
	"fmt"
)

// Classes of errors: errors.Is(err, ErrX) tells which one an error from
// opening a snapshot belongs to, for exit codes and for what to say next.
var (
	// ErrNotABackup: nothing at the reference looks like a backup.
	ErrNotABackup = errors.New("not a PostgreSQL backup")
	// ErrUnsupported: recognised, but of a kind or version that cannot be
	// opened by this build; the message says what it is.
	ErrUnsupported = errors.New("unsupported kind of backup")
	// ErrDamaged: a backup whose bytes contradict themselves: truncated,
	// checksum wrong, sizes impossible.
	ErrDamaged = errors.New("damaged backup")
	// ErrUnsafe: opening would silently show wrong data, or the backup
	// holds something that must not be followed or created.
	ErrUnsafe = errors.New("unsafe to open")
	// ErrPassphrase: a passphrase is needed, or the one given is wrong.
	ErrPassphrase = errors.New("passphrase missing or wrong")
)

// A classed error prints only its own message but belongs to a class.
type classed struct {
	class error
	err   error
}

func (e *classed) Error() string   { return e.err.Error() }
func (e *classed) Unwrap() []error { return []error{e.class, e.err} }

// Errorf makes an error of the given class. Format and arguments are those of
// fmt.Errorf, %w included.
func Errorf(class error, format string, args ...any) error {
	return &classed{class, fmt.Errorf(format, args...)}
}
