package desk_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapview/snapview/web/desk"
)

// stores are the two ways to keep things; what holds for one holds for both.
func stores(t *testing.T, test func(t *testing.T, s *desk.Store)) {
	t.Run("Files", func(t *testing.T) { test(t, desk.New(filepath.Join(t.TempDir(), "desk"), "root")) })
	t.Run("Memory", func(t *testing.T) { test(t, desk.New("", "root")) })
}

func TestQueries_AreSavedChangedAndRemoved(t *testing.T) {
	stores(t, func(t *testing.T, s *desk.Store) {
		d := s.Of("ada")
		made, err := d.Save([]desk.Query{
			{Name: "zebra", SQL: "select 2", Tags: []string{"b"}, Chart: &desk.Chart{On: true, Y: []string{"n"}}},
			{Name: "Ant", SQL: "select 1", Database: "shop"},
		})
		if err != nil || len(made) != 2 || made[0].ID == made[1].ID {
			t.Fatalf("%+v %v", made, err)
		}
		list, err := d.Queries()
		if err != nil || len(list) != 2 || list[0].Name != "Ant" || list[1].Chart.Y[0] != "n" {
			t.Fatalf("not by name: %+v %v", list, err)
		}
		changed, err := d.Replace(made[0].ID, desk.Query{Name: "aardvark", SQL: "select 3"})
		if err != nil || !changed.CreatedAt.Equal(made[0].CreatedAt) {
			t.Fatalf("%+v %v", changed, err)
		}
		if list, _ = d.Queries(); list[0].SQL != "select 3" {
			t.Errorf("%+v", list)
		}
		if err := d.Remove(made[0].ID); err != nil {
			t.Fatal(err)
		}
		if list, _ = d.Queries(); len(list) != 1 {
			t.Errorf("%+v", list)
		}
		if err := d.Remove(made[0].ID); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("removed twice: %v", err)
		}
		if _, err := d.Replace("x", desk.Query{Name: "a", SQL: "b"}); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("replaced what is not there: %v", err)
		}
	})
}

func TestQueries_RefuseWhatIsTooMuch(t *testing.T) {
	d := desk.New("", "root").Of("")
	for name, q := range map[string]desk.Query{
		"no name":       {SQL: "select 1"},
		"no statement":  {Name: "a"},
		"long name":     {Name: strings.Repeat("a", 201), SQL: "select 1"},
		"long":          {Name: "a", SQL: strings.Repeat("a", desk.MaxSQL+1)},
		"not UTF-8":     {Name: "a", SQL: "select '\xff'"},
		"an empty tag":  {Name: "a", SQL: "select 1", Tags: []string{""}},
		"many tags":     {Name: "a", SQL: "select 1", Tags: strings.Split(strings.Repeat("t ", 21)+"t", " ")},
		"many series":   {Name: "a", SQL: "select 1", Chart: &desk.Chart{Y: make([]string, 9)}},
		"a long series": {Name: "a", SQL: "select 1", Chart: &desk.Chart{Y: []string{strings.Repeat("a", 201)}}},
	} {
		// A good one before it: all or none.
		if _, err := d.Save([]desk.Query{{Name: "good", SQL: "select 1"}, q}); !errors.Is(err, desk.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := d.Queries(); err != nil || len(list) != 0 {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := d.Save(many(desk.MaxQueries)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Save(many(1)); !errors.Is(err, desk.ErrFull) {
		t.Errorf("one more than fit: %v", err)
	}
	big := desk.New("", "root").Of("")
	list := many(desk.MaxFile / desk.MaxSQL)
	for i := range list {
		list[i].SQL = strings.Repeat("a", desk.MaxSQL)
	}
	if _, err := big.Save(list[1:]); err != nil {
		t.Error(err)
	}
	if _, err := big.Save(list[:1]); !errors.Is(err, desk.ErrFull) {
		t.Errorf("more than %d MiB: %v", desk.MaxFile>>20, err)
	}
}

func many(n int) []desk.Query {
	list := make([]desk.Query, n)
	for i := range list {
		list[i] = desk.Query{Name: fmt.Sprint("q", i), SQL: "select 1"}
	}
	return list
}

func TestDesks_AreApart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "desk")
	s := desk.New(dir, "root")
	people := []string{"", "root", "ada", "Ada", "..", "../ada", "a/b", "a%2Fb", strings.Repeat("ä", 90), strings.Repeat("ä", 90) + "x", "~" + strings.Repeat("0", 32)}
	for i, who := range people {
		if _, err := s.Of(who).Save([]desk.Query{{Name: fmt.Sprint(i), SQL: "select 1"}}); err != nil {
			t.Fatalf("%q: %v", who, err)
		}
	}
	again := desk.New(dir, "root") // as another process finds it
	for i, who := range people {
		if list, err := again.Of(who).Queries(); err != nil || len(list) != 1 || list[0].Name != fmt.Sprint(i) {
			t.Errorf("%q: %+v %v", who, list, err)
		}
	}
	folders, err := os.ReadDir(dir)
	if err != nil || len(folders) != len(people) {
		t.Errorf("%d folders of %d people: %v", len(folders), len(people), err)
	}
	err = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTabs_BelongToTheBackup(t *testing.T) {
	stores(t, func(t *testing.T, s *desk.Store) {
		d := s.Of("")
		for i, id := range []string{"b", "a", "c"} {
			if _, err := d.PutTab("/backups/one", desk.Tab{ID: id, SQL: "select " + id, Position: float64(-i)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.PutTab("/backups/one", desk.Tab{ID: "a", SQL: "select 2", Position: -9}); err != nil {
			t.Fatal(err)
		}
		list, err := d.Tabs("/backups/one")
		if err != nil || len(list) != 3 || list[0].SQL != "select 2" || list[2].ID != "b" {
			t.Errorf("%+v %v", list, err)
		}
		if list, err := d.Tabs("/backups/two"); err != nil || len(list) != 0 {
			t.Errorf("%+v %v", list, err)
		}
		if err := d.RemoveTab("/backups/one", "a"); err != nil {
			t.Error(err)
		}
		if err := d.RemoveTab("/backups/one", "a"); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("closed twice: %v", err)
		}
		for i := range desk.MaxTabs {
			if _, err := d.PutTab("/full", desk.Tab{ID: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.PutTab("/full", desk.Tab{ID: "more"}); !errors.Is(err, desk.ErrFull) {
			t.Errorf("one more than fit: %v", err)
		}
		if _, err := d.PutTab("/full", desk.Tab{ID: "7", SQL: "changed"}); err != nil {
			t.Errorf("a change of a full desk: %v", err)
		}
	})
}

func TestHistory_IsSearchedFoldedAndForgotten(t *testing.T) {
	stores(t, func(t *testing.T, s *desk.Store) {
		d := s.Of("")
		record := func(sql, database string) {
			t.Helper()
			if err := d.Record(desk.Entry{Time: time.Now(), Reference: "/backups/one", Database: database, SQL: sql, Outcome: "ok"}); err != nil {
				t.Fatal(err)
			}
		}
		record("select * from Orders", "shop")
		record("select 1", "shop")
		record("select 1", "shop")
		record("select 1", "other")
		p, err := d.History(desk.Search{Limit: 10})
		if err != nil || len(p.Items) != 3 || p.Items[0].Database != "other" || p.Items[1].Runs != 2 || p.Items[2].Runs != 1 {
			t.Fatalf("%+v %v", p, err)
		}
		var got []string
		for before := ""; ; before = p.Next {
			if p, err = d.History(desk.Search{Limit: 1, Before: before}); err != nil {
				t.Fatal(err)
			}
			for _, e := range p.Items {
				got = append(got, e.SQL+"@"+e.Database)
			}
			if p.Next == "" {
				break
			}
		}
		if want := "select 1@other select 1@shop select * from Orders@shop"; strings.Join(got, " ") != want {
			t.Errorf("page by page: %v", got)
		}
		if p, _ = d.History(desk.Search{Limit: 10, Text: "orders SHOP"}); len(p.Items) != 1 {
			t.Errorf("by words: %+v", p)
		}
		if p, _ = d.History(desk.Search{Limit: 10, Database: "other", Reference: "/backups/one"}); len(p.Items) != 1 {
			t.Errorf("by database: %+v", p)
		}
		if p, _ = d.History(desk.Search{Limit: 10, Reference: "/backups/two"}); len(p.Items) != 0 {
			t.Errorf("of another backup: %+v", p)
		}
		p, _ = d.History(desk.Search{Limit: 10, Database: "shop", Text: "select 1"})
		if e, err := d.Entry(p.Items[0].ID); err != nil || e.SQL != "select 1" {
			t.Errorf("%+v %v", e, err)
		}
		if err := d.Forget(p.Items[0].ID); err != nil {
			t.Fatal(err)
		}
		if p, _ = d.History(desk.Search{Limit: 10}); len(p.Items) != 2 {
			t.Errorf("after one was forgotten: %+v", p)
		}
		if err := d.Forget("no such"); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("%v", err)
		}
		if err := d.Forget(""); err != nil {
			t.Fatal(err)
		}
		if p, _ = d.History(desk.Search{Limit: 10}); len(p.Items) != 0 {
			t.Errorf("after all were: %+v", p)
		}
	})
}

func TestHistory_IsBounded(t *testing.T) {
	dir := t.TempDir()
	d := desk.New(dir, "root").Of("")
	long := strings.Repeat("ä", 40<<10)
	for i := range 200 {
		if err := d.Record(desk.Entry{SQL: fmt.Sprint(i, long)}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "host-root", "history.ndjson"))
	if err != nil || info.Size() > 4<<20 {
		t.Errorf("%d bytes: %v", info.Size(), err)
	}
	p, err := d.History(desk.Search{Limit: 1000})
	if err != nil || len(p.Items) < 50 || !strings.HasPrefix(p.Items[0].SQL, "199ä") || !p.Items[0].Cut || len(p.Items[0].SQL) > 32<<10 {
		t.Errorf("%d entries: %v", len(p.Items), err)
	}
}

func TestHistory_OutlivesADamagedLine(t *testing.T) {
	dir := t.TempDir()
	d := desk.New(dir, "root").Of("")
	record := func(sql string) {
		t.Helper()
		if err := d.Record(desk.Entry{SQL: sql}); err != nil {
			t.Fatal(err)
		}
	}
	record("select 1")
	name := filepath.Join(dir, "host-root", "history.ndjson")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// A process was killed within its write.
	if err := os.WriteFile(name, append(data, data[:len(data)/2]...), 0o600); err != nil {
		t.Fatal(err)
	}
	record("select 2")
	if p, err := d.History(desk.Search{Limit: 9}); err != nil || len(p.Items) != 2 {
		t.Errorf("%+v %v", p, err)
	}
}

func TestStore_SaysWhichFileIsDamaged(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "host-root", "queries.json")
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(`[{"id":`), 0o600); err != nil {
		t.Fatal(err)
	}
	d := desk.New(dir, "root").Of("")
	if _, err := d.Queries(); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("%v", err)
	}
	if _, err := d.Save(many(1)); err == nil {
		t.Error("a damaged file was written over")
	}
}

// Two stores over one folder are what two processes are.
func TestStore_IsSharedByProcesses(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for p := range 4 {
		d := desk.New(dir, "root").Of("")
		wg.Go(func() {
			for i := range 10 {
				id := fmt.Sprint(p, "-", i)
				_, err := d.PutTab("/b", desk.Tab{ID: id})
				if err = errors.Join(err, d.Record(desk.Entry{SQL: id})); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	d := desk.New(dir, "root").Of("")
	tabs, err := d.Tabs("/b")
	page, err2 := d.History(desk.Search{Limit: 100})
	if err := errors.Join(err, err2); err != nil || len(tabs) != 40 || len(page.Items) != 40 {
		t.Errorf("%d tabs and %d entries of 40: %v", len(tabs), len(page.Items), err)
	}
}
