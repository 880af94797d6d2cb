package desk

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Query is a statement that somebody saved.
type Query struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Tags        []string  `json:"tags,omitempty"`
	Database    string    `json:"database,omitempty"` // it was written for
	SQL         string    `json:"sql"`
	Chart       *Chart    `json:"chart,omitempty"`
	CreatedAt   time.Time `json:"createdAt"`
	UpdatedAt   time.Time `json:"updatedAt"`
}

// A Tab is one of the editor's over a backup.
type Tab struct {
	ID       string `json:"id"`
	Title    string `json:"title,omitempty"` // empty: the page takes it from the statement
	Database string `json:"database,omitempty"`
	SQL      string `json:"sql"`
	// Position orders the tabs; between two there is always room for a third.
	Position  float64   `json:"position"`
	Saved     string    `json:"saved,omitempty"` // the saved statement that it shows
	Chart     *Chart    `json:"chart,omitempty"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// A Chart is how a result is drawn; columns are named. The zero value of each
// field leaves the choice to the page.
type Chart struct {
	On   bool     `json:"on"`
	Kind string   `json:"kind,omitempty"`
	X    string   `json:"x,omitempty"`
	Y    []string `json:"y,omitempty"`
	By   string   `json:"by,omitempty"`   // a column whose values are series
	Fold string   `json:"fold,omitempty"` // what is done with several values at one x
}

// A Store keeps the desks of everybody. Its methods may be called concurrently.
type Store struct {
	dir, host string

	mu    sync.Mutex
	desks map[string]*Desk
}

// New returns a store below a folder, which is made when it is needed; without
// one, everything is kept in memory. host is the user of the host who runs the
// program: the person without a name (Of) is he.
func New(dir, host string) *Store {
	return &Store{dir: dir, host: host, desks: make(map[string]*Desk)}
}

// Lasting says whether what is kept outlives the program.
func (s *Store) Lasting() bool { return s.dir != "" }

// Of returns a person's desk.
func (s *Store) Of(person string) *Desk {
	folder := "user-" + fileName(person)
	if person == "" {
		folder = "host-" + fileName(s.host)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.desks[folder]
	if d == nil {
		d = &Desk{}
		if s.dir != "" {
			d.files.dir = path.Join(s.dir, folder)
		}
		s.desks[folder] = d
	}
	return d
}

// fileName turns any name into a part of a path that no other name has.
func fileName(name string) string {
	escaped := url.PathEscape(name)
	if len(escaped) <= 100 && !strings.Contains(escaped, "~") {
		return escaped
	}
	return "~" + hash(name)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// A Desk is one person's. Its methods may be called concurrently; what they
// return is the caller's own.
type Desk struct{ files files }

const queriesFile = "queries.json"

// Queries returns what was saved, by name.
func (d *Desk) Queries() ([]Query, error) {
	var list []Query
	err := d.files.locked(func() error { return d.files.readJSON(queriesFile, &list) })
	sortQueries(list)
	return list, err
}

func sortQueries(list []Query) {
	slices.SortStableFunc(list, func(a, b Query) int {
		if c := strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

// Save adds statements and returns them with their ids; all of them or none.
func (d *Desk) Save(queries []Query) ([]Query, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	added := slices.Clone(queries)
	for i := range added {
		if err := added[i].check(); err != nil {
			return nil, err
		}
		added[i].ID, added[i].CreatedAt, added[i].UpdatedAt = newID(), now, now
	}
	return added, update(&d.files, queriesFile, func(list []Query) ([]Query, error) {
		if len(list)+len(added) > MaxQueries {
			return nil, fmt.Errorf("%w: %d statements can be saved, and %d are", ErrFull, MaxQueries, len(list))
		}
		return append(list, added...), nil
	})
}

// Replace changes one that was saved.
func (d *Desk) Replace(id string, q Query) (Query, error) {
	if err := q.check(); err != nil {
		return q, err
	}
	q.ID, q.UpdatedAt = id, time.Now().UTC().Truncate(time.Millisecond)
	return q, update(&d.files, queriesFile, func(list []Query) ([]Query, error) {
		i := slices.IndexFunc(list, func(have Query) bool { return have.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("saved statement %s: %w", id, ErrNotFound)
		}
		q.CreatedAt = list[i].CreatedAt
		list[i] = q
		return list, nil
	})
}

// Remove forgets one that was saved.
func (d *Desk) Remove(id string) error {
	return update(&d.files, queriesFile, func(list []Query) ([]Query, error) {
		rest := slices.DeleteFunc(slices.Clone(list), func(q Query) bool { return q.ID == id })
		if len(rest) == len(list) {
			return nil, fmt.Errorf("saved statement %s: %w", id, ErrNotFound)
		}
		return rest, nil
	})
}

func tabsFile(backup string) string { return path.Join("tabs", hash(backup)+".json") }

// Tabs returns the tabs over a backup, in their order.
func (d *Desk) Tabs(backup string) ([]Tab, error) {
	var list []Tab
	err := d.files.locked(func() error { return d.files.readJSON(tabsFile(backup), &list) })
	slices.SortStableFunc(list, func(a, b Tab) int {
		switch {
		case a.Position < b.Position:
			return -1
		case a.Position > b.Position:
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, err
}

// PutTab adds a tab, or replaces the one of that id.
func (d *Desk) PutTab(backup string, t Tab) (Tab, error) {
	if err := t.check(); err != nil {
		return t, err
	}
	t.UpdatedAt = time.Now().UTC().Truncate(time.Millisecond)
	return t, update(&d.files, tabsFile(backup), func(list []Tab) ([]Tab, error) {
		if i := slices.IndexFunc(list, func(have Tab) bool { return have.ID == t.ID }); i >= 0 {
			list[i] = t
			return list, nil
		}
		if len(list) >= MaxTabs {
			return nil, fmt.Errorf("%w: %d tabs are open over this backup: close some", ErrFull, len(list))
		}
		return append(list, t), nil
	})
}

// RemoveTab closes a tab.
func (d *Desk) RemoveTab(backup, id string) error {
	return update(&d.files, tabsFile(backup), func(list []Tab) ([]Tab, error) {
		rest := slices.DeleteFunc(slices.Clone(list), func(t Tab) bool { return t.ID == id })
		if len(rest) == len(list) {
			return nil, fmt.Errorf("tab %s: %w", id, ErrNotFound)
		}
		return rest, nil
	})
}

// update changes a list that a file holds, or leaves it when change fails.
func update[T any](f *files, name string, change func([]T) ([]T, error)) error {
	return f.locked(func() error {
		var list []T
		if err := f.readJSON(name, &list); err != nil {
			return err
		}
		list, err := change(list)
		if err != nil {
			return err
		}
		data, err := json.Marshal(list)
		if err != nil {
			return err
		}
		if len(data) > MaxFile {
			return fmt.Errorf("%w: %d MiB of statements are kept: remove some", ErrFull, MaxFile>>20)
		}
		return f.write(name, data)
	})
}

func newID() string { return strings.ToLower(rand.Text()[:16]) }
