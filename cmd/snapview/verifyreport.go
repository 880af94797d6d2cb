package main

import (
	"bytes"
	"fmt"
	"os"

	reports "github.com/snapview/snapview/check"
)

// printTest prints a restore test's report, and writes it as JUnit XML where
// that was asked for.
func (a *app) printTest(r *reports.Report, junit string) error {
	if junit != "" {
		var text bytes.Buffer
		if err := r.WriteJUnit(&text); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		if err := os.WriteFile(junit, text.Bytes(), 0o644); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	if a.json {
		return printJSON(a.out, r)
	}
	for _, c := range r.Cases {
		a.printCase(c)
	}
	fmt.Fprintf(a.out, "\n%s in %.1f s: %d checks passed, %d failed", r.Ref, r.Seconds, r.Passed, r.Failed)
	if r.Skipped > 0 {
		fmt.Fprintf(a.out, ", %d skipped", r.Skipped)
	}
	fmt.Fprintln(a.out)
	return nil
}

func (a *app) printCase(c reports.Case) {
	outcome := string(c.Outcome)
	if c.Outcome.Bad() {
		outcome = "FAILED"
	}
	spent := ""
	if c.Took > 0 {
		spent = took(c.Took)
	}
	fmt.Fprintf(a.out, "%-7s  %-10s  %-28s %9s  %s\n", outcome, c.Suite, shorten(c.Name, 60), spent, c.Detail)
	for i, p := range c.Problems {
		if i == listedProblems {
			fmt.Fprintf(a.out, "         and %d more\n", len(c.Problems)+c.More-i)
			return
		}
		fmt.Fprintf(a.out, "         %s\n", p)
	}
	if c.More > 0 {
		fmt.Fprintf(a.out, "         and %d more\n", c.More)
	}
}

// shorten makes one short line of a text.
func shorten(s string, most int) string {
	line := []rune(s)
	for i, c := range line {
		if c == '\n' || i == most {
			return string(line[:i]) + "..."
		}
	}
	return s
}
