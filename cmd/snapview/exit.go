package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
)

// The exit codes. They are documented by exitCodesTopic and are never reused.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitBadRef      = 3
	exitUnsafe      = 4
	exitHost        = 5
	exitPostgres    = 6
	exitQuery       = 7
	exitNoSession   = 8
	exitPassphrase  = 9
	exitCheck       = 10
	exitStore       = 11
	exitInterrupted = 130
)

const exitCodes = `  0    it worked
  1    something else went wrong
  2    the command line is wrong
  3    REF is not a backup that snapview can open, or it is damaged
  4    refused: opening it could show wrong data (see snapview inspect)
  5    this host lacks something (see snapview doctor)
  6    PostgreSQL did not start, or died
  7    the server refused the query, or the query failed
  8    there is no such session
  9    the backup is encrypted, and its passphrase is missing or wrong
  10   the backup opened, but a check failed (snapview verify)
  11   the backup's store does not answer, or is overloaded; later it may
  130  interrupted (Ctrl-C, SIGTERM); everything was torn down`

// exitCodesTopic is a help page: snapview help exit-codes.
func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long:  "snapview's exit codes, for scripts:\n\n" + exitCodes,
	}
}

// A usageError is about the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// A queryError is the server's answer to SQL that it did not like.
type queryError struct{ error }

func (e queryError) Unwrap() error { return e.error }

// exitCode says what kind of failure err is.
func exitCode(ctx context.Context, err error) int {
	var usage usageError
	var query queryError
	var check checkError
	var start *pgrunner.StartError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &query):
		return exitQuery
	case errors.As(err, &check):
		return exitCheck
	case errors.Is(err, session.ErrNoSession):
		return exitNoSession
	case errors.Is(err, snapshot.ErrUnsafe), errors.Is(err, pgrunner.ErrUnsafe):
		return exitUnsafe
	case errors.Is(err, snapshot.ErrPassphrase):
		return exitPassphrase
	case errors.Is(err, snapshot.ErrNotABackup), errors.Is(err, snapshot.ErrUnsupported), errors.Is(err, snapshot.ErrDamaged),
		errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return exitBadRef
	case objects.IsPassing(err):
		return exitStore
	case errors.Is(err, attach.ErrUnsupported), errors.Is(err, pgrunner.ErrNoRunner), errors.Is(err, pgrunner.ErrNeedsRoot):
		return exitHost
	case errors.As(err, &start):
		return exitPostgres
	}
	return exitFailed
}

// report prints an error once, as text or JSON, and returns its exit code.
func (a *app) report(ctx context.Context, err error) int {
	code := exitCode(ctx, err)
	if code == exitInterrupted && onlyCanceled(err) {
		if !a.json && !a.quiet {
			fmt.Fprintln(a.err, "snapview: interrupted; everything was torn down")
		}
		return code
	}
	if a.json {
		//nolint:errcheck // there is nobody left to tell
		json.NewEncoder(a.out).Encode(map[string]any{"event": "error", "error": err.Error(), "exit_code": code})
		return code
	}
	fmt.Fprintf(a.err, "snapview: %v\n", err)
	if code == exitUsage {
		fmt.Fprintln(a.err, "Try snapview --help.")
	}
	return code
}

// onlyCanceled says whether an error is nothing but the interruption: what
// went wrong while tearing down has to be told.
func onlyCanceled(err error) bool {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			if !onlyCanceled(e) {
				return false
			}
		}
		return true
	}
	return errors.Is(err, context.Canceled)
}
