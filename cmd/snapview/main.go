// Command snapview opens a PostgreSQL backup without restoring it: in a
// browser, with SQL, from psql.
//
// This package parses flags, wires the others together and turns errors into
// exit codes. Nothing below it prints or exits.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(program())
}

// program runs in the process's own surroundings, signals included.
func program() int {
	// Whoever reads our output may go away before we have torn down: that is
	// an error of a write, not a reason to die with a mount in the hand.
	signal.Ignore(syscall.SIGPIPE)
	allowReaders()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// run is the whole program but for the process: what the tests call.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	a := &app{in: in, out: out, err: errs}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	return a.report(ctx, err)
}
