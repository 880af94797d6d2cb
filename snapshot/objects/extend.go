package objects

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
)

// Ranged is what objects have that lie far away: a part is asked for in one
// request and given as it arrives, and a request can be given up.
type Ranged interface {
	Object

	// Range returns n bytes from off on, which lie inside the object. The
	// stream ends with io.EOF after exactly n bytes or with another error;
	// it is the caller's to close. Nothing is tried twice: that is up to
	// the caller, whom IsPassing tells whether it is worth it.
	Range(ctx context.Context, off, n int64) (io.ReadCloser, error)

	// Tag tells this content from any other that the object's name had or
	// will have, as far as the store can: what it calls the version, with
	// size and time. It is empty if the store tells nothing.
	Tag() string
}

// Versioned is what objects are whose content can be told from any other
// without reading it, wherever it is kept: what is computed from one can be
// kept under its name.
type Versioned interface {
	// Version returns a hash that only this content has; ok is false if
	// the store tells too little for that.
	Version() (v [sha256.Size]byte, ok bool)
}

// passing marks an error that may be gone when the same thing is asked again.
type passing struct{ error }

func (e passing) Unwrap() error { return e.error }

// Passing marks an error as one of the moment: the network, a store that is
// overloaded or restarts. nil stays nil.
func Passing(err error) error {
	if err == nil {
		return nil
	}
	return passing{err}
}

// IsPassing reports whether an error was marked so.
func IsPassing(err error) bool {
	var p passing
	return errors.As(err, &p)
}
