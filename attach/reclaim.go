package attach

import (
	"context"
	"errors"
)

// Reclaim gives back what a dead process recorded and still exists. log is
// what Config.Record was called with, in that order, of any number of
// attachments. Whatever is not provably the thing recorded is left alone: a
// record of something that is gone, or that now belongs to somebody else, is
// done. It goes on past errors and joins them; calling it again is harmless.
//
// Processes that use the mount must be stopped by the caller first; the error
// names those that remain. Never call it for an attachment of a living process.
func Reclaim(ctx context.Context, log []Resource) error { return errors.ErrUnsupported }
