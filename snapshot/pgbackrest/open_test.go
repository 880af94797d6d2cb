package pgbackrest_test

import (
	"errors"

	"github.com/snapview/snapview/snapshot"
)

func isPassphrase(err error) bool { return errors.Is(err, snapshot.ErrPassphrase) }
