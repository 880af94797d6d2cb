package desk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// An Entry is a statement that was run.
type Entry struct {
	ID        string    `json:"id"` // later ones are greater
	Time      time.Time `json:"time"`
	Session   string    `json:"session"`
	Reference string    `json:"reference"` // the backup
	Moment    string    `json:"moment,omitempty"`
	Database  string    `json:"database"`
	SQL       string    `json:"sql"`
	Cut       bool      `json:"cut,omitempty"` // SQL is its beginning only
	Rows      int64     `json:"rows"`
	Truncated bool      `json:"truncated,omitempty"` // there were more rows
	Millis    float64   `json:"ms"`
	Outcome   string    `json:"outcome"` // ok, cancelled, failed
	Error     string    `json:"error,omitempty"`

	// Runs counts the entries of one statement that a Page folds into one.
	Runs int `json:"runs,omitempty"`
}

// A Search says which entries a Page has.
type Search struct {
	Text      string // all of its words, in statement, database or backup, whatever the case
	Database  string
	Reference string
	Before    string // the id of an entry: only older ones
	Limit     int    // of entries; at least 1
}

// A Page is a part of the history, newest first, each statement on a database of
// a backup once.
type Page struct {
	Items []Entry
	Next  string // Before of the next page; empty at the end
}

const historyFile = "history.ndjson"

// Record adds an entry; its id is made here.
func (d *Desk) Record(e Entry) error {
	e.SQL, e.Cut = beginning(strings.ToValidUTF8(e.SQL, "\ufffd"), entrySQL)
	e.Error, _ = beginning(e.Error, 2000)
	e.Runs = 0
	return d.files.locked(func() error {
		e.ID = fmt.Sprintf("%016x%s", time.Now().UnixNano(), newID()[:4])
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		size, err := d.files.add(historyFile, line)
		if err != nil {
			return fmt.Errorf("the history of statements: %w", err)
		}
		if size <= 2*keptHistory {
			return nil
		}
		return d.compact()
	})
}

// compact drops the oldest entries.
func (d *Desk) compact() error {
	data, err := d.files.read(historyFile)
	if err != nil {
		return err
	}
	lines := bytes.SplitAfter(data, []byte{'\n'})
	from, size := len(lines), 0
	for from > 0 && size+len(lines[from-1]) <= keptHistory {
		from--
		size += len(lines[from])
	}
	return d.files.write(historyFile, bytes.Join(lines[from:], nil))
}

// entries returns all entries, oldest first; damaged lines are left out.
func (d *Desk) entries() (list []Entry, err error) {
	err = d.files.locked(func() error {
		data, err := d.files.read(historyFile)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(data) {
			var e Entry
			if json.Unmarshal(line, &e) == nil && e.ID != "" {
				list = append(list, e)
			}
		}
		return nil
	})
	return list, err
}

// History returns a page of what was run.
func (d *Desk) History(search Search) (Page, error) {
	list, err := d.entries()
	if err != nil {
		return Page{}, err
	}
	type key struct{ sql, database, reference string }
	words := strings.Fields(strings.ToLower(search.Text))
	at := make(map[key]int)
	var p Page
	for _, e := range slices.Backward(list) {
		k := key{e.SQL, e.Database, e.Reference}
		if i, seen := at[k]; seen {
			if i >= 0 {
				p.Items[i].Runs++
			}
			continue
		}
		at[k] = -1 // not on this page
		if search.Before != "" && e.ID >= search.Before || !e.matches(search, words) {
			continue
		}
		if len(p.Items) == search.Limit {
			if p.Next == "" {
				p.Next = p.Items[len(p.Items)-1].ID
			}
			continue
		}
		at[k] = len(p.Items)
		e.Runs = 1
		p.Items = append(p.Items, e)
	}
	return p, nil
}

func (e *Entry) matches(search Search, words []string) bool {
	if search.Database != "" && e.Database != search.Database || search.Reference != "" && e.Reference != search.Reference {
		return false
	}
	if len(words) == 0 {
		return true
	}
	text := strings.ToLower(e.SQL + "\n" + e.Database + "\n" + e.Reference)
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
}

// Entry returns one entry.
func (d *Desk) Entry(id string) (Entry, error) {
	list, err := d.entries()
	if err != nil {
		return Entry{}, err
	}
	if i := slices.IndexFunc(list, func(e Entry) bool { return e.ID == id }); i >= 0 {
		return list[i], nil
	}
	return Entry{}, fmt.Errorf("entry %s of the history: %w", id, ErrNotFound)
}

// Forget removes the entries of one's statement, on its database of its backup;
// with an empty id, all entries.
func (d *Desk) Forget(id string) error {
	if id == "" {
		return d.files.locked(func() error { return d.files.write(historyFile, nil) })
	}
	gone, err := d.Entry(id)
	if err != nil {
		return err
	}
	return d.files.locked(func() error {
		data, err := d.files.read(historyFile)
		if err != nil {
			return err
		}
		var rest []byte
		for line := range bytes.Lines(data) {
			var e Entry
			if json.Unmarshal(line, &e) == nil && e.SQL == gone.SQL && e.Database == gone.Database && e.Reference == gone.Reference {
				continue
			}
			rest = append(rest, line...)
		}
		return d.files.write(historyFile, rest)
	})
}

// beginning cuts a text to at most n bytes, not within a character.
func beginning(text string, n int) (string, bool) {
	if len(text) <= n {
		return text, false
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n], true
}
