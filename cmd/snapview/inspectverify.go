package main

import (
	"context"
	"fmt"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/verify"
)

// listedProblems bounds what is printed for people; JSON has more.
const listedProblems = 50

// verifyFiles reads the whole backup, with progress on a terminal.
func (a *app) verifyFiles(ctx context.Context, snap *snapshot.Snapshot) (*verify.Report, error) {
	p := a.progress()
	defer p.end()
	return verify.Files(ctx, snap, verify.Options{Progress: func(done, total int64) {
		p.transient(fmt.Sprintf("verifying the files: %s of %s", size(done), size(total)))
	}})
}

// progress prints to standard error, nothing with --quiet.
func (a *app) progress() *progress {
	return &progress{out: a.err, terminal: !a.quiet && isTerminal(a.err)}
}

// printVerified prints what became of the files.
func (a *app) printVerified(r *verify.Report) {
	fmt.Fprintln(a.out)
	for _, part := range append([]*verify.Report{r}, r.Parts...) {
		a.printVerifiedPart(part, len(r.Parts) > 0)
	}
}

func (a *app) printVerifiedPart(r *verify.Report, named bool) {
	outcome := snapshot.OK
	if r.Count() > 0 {
		outcome = snapshot.Refuse
	}
	text := fmt.Sprintf("%d files (%s) read, checksums of %s", r.Files, size(r.Bytes), r.Against)
	if r.WALRecords > 0 {
		text += fmt.Sprintf(", %d WAL records", r.WALRecords)
	}
	switch n := r.Count(); {
	case r.Unverified > 0 && r.Unverified == r.Files:
		text += "; nothing is known to compare them with, they were only read to their ends"
	case r.Unverified > 0:
		text += fmt.Sprintf("; of %d files no checksum is known, they were only read", r.Unverified)
	case n == 0:
		text += ": all as when the backup was taken"
	}
	if named {
		text = r.Ref + ": " + text
	}
	fmt.Fprintf(a.out, "%-6s  %-14s %s\n", outcome, "files", text)
	for i, p := range r.Problems {
		if i == listedProblems {
			fmt.Fprintf(a.out, "        %-14s and %d more\n", "", len(r.Problems)+r.More-i)
			break
		}
		fmt.Fprintf(a.out, "        %-14s %s\n", p.Kind, p)
	}
}
