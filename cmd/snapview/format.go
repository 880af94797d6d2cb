package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/dustin/go-humanize"
)

// bytesValue is a flag for a number of bytes: 5GiB, 500M, 1073741824. Units are
// binary whether the i is written or not, as PostgreSQL's own settings have it.
type bytesValue int64

func (b *bytesValue) Set(s string) error {
	n, err := units.RAMInBytes(s)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is no size: write 500MiB, 5GiB or a number of bytes", s)
	}
	*b = bytesValue(n)
	return nil
}

func (b *bytesValue) String() string {
	if *b == 0 {
		return "none"
	}
	return size(int64(*b))
}

func (*bytesValue) Type() string { return "SIZE" }

// size prints a number of bytes for people.
func size(n int64) string {
	if n < 0 {
		return "-" + humanize.IBytes(uint64(-n))
	}
	return humanize.IBytes(uint64(n))
}

// took prints a duration for people, in the unit that fits.
func took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64) + " ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
	}
	return d.Round(time.Second).String()
}

// ago prints how long something has lasted, to the precision that matters.
func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return time.Since(t).Round(time.Second).String()
}

// table prints rows in columns under a heading. Numbers are the caller's to
// format.
func table(w io.Writer, heading []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(heading, "\t"))
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	return tw.Flush()
}

// printJSON prints one JSON object on one line.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
