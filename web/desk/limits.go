package desk

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// Errors of this package, wrapped.
var (
	// ErrNotFound: there is no such statement, tab or entry.
	ErrNotFound = errors.New("not found")
	// ErrFull: there is room for no more; the message says of what.
	ErrFull = errors.New("too many")
	// ErrInvalid: a field is too long or missing; the message says which.
	ErrInvalid = errors.New("invalid")
)

// What a desk has room for, in pieces and bytes.
const (
	MaxQueries = 5000
	MaxTabs    = 200
	MaxSQL     = 1 << 20 // of one tab or saved statement
	MaxFile    = 16 << 20

	maxName        = 200
	maxDescription = 4000
	maxTags        = 20
	maxTag         = 50
	maxSeries      = 8
	maxColumn      = 200

	// The history keeps the newest of so many bytes, and at most twice that.
	keptHistory = 2 << 20
	// entrySQL is how much of a statement an entry keeps.
	entrySQL = 32 << 10
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

func checkText(what, text string, most int) error {
	if len(text) > most {
		return invalid("%s is longer than %d bytes", what, most)
	}
	if !utf8.ValidString(text) {
		return invalid("%s is not UTF-8", what)
	}
	return nil
}

func (q Query) check() error {
	err := errors.Join(
		checkText("name", q.Name, maxName), checkText("description", q.Description, maxDescription),
		checkText("database", q.Database, maxName), checkText("sql", q.SQL, MaxSQL), q.Chart.check(),
	)
	for _, tag := range q.Tags {
		err = errors.Join(err, checkText("a tag", tag, maxTag))
		if tag == "" {
			err = errors.Join(err, invalid("a tag is empty"))
		}
	}
	switch {
	case err != nil:
		return err
	case q.Name == "":
		return invalid("name is empty")
	case q.SQL == "":
		return invalid("sql is empty")
	case len(q.Tags) > maxTags:
		return invalid("more than %d tags", maxTags)
	}
	return nil
}

func (t Tab) check() error {
	return errors.Join(checkText("title", t.Title, maxName), checkText("database", t.Database, maxName),
		checkText("saved", t.Saved, maxName), checkText("sql", t.SQL, MaxSQL), t.Chart.check())
}

func (c *Chart) check() error {
	if c == nil {
		return nil
	}
	if len(c.Y) > maxSeries {
		return invalid("a chart of more than %d series", maxSeries)
	}
	err := errors.Join(checkText("kind", c.Kind, maxTag), checkText("fold", c.Fold, maxTag), checkText("x", c.X, maxColumn), checkText("by", c.By, maxColumn))
	for _, y := range c.Y {
		err = errors.Join(err, checkText("y", y, maxColumn))
	}
	return err
}
