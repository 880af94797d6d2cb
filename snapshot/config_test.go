package snapshot

import (
	"errors"
	"strings"
	"testing"
)

// Whatever a configuration includes, reading it ends, within its bounds.
func FuzzSettings(f *testing.F) {
	f.Add("port = 5433 # c\ninclude_dir 'conf.d'\n", "include 'postgresql.conf'\ninclude_if_exists 'a.conf'\n")
	f.Add("work_mem='1''0\\'MB'\ninclude '../x'\n", "a.b = ''\n")
	f.Fuzz(func(t *testing.T, main, other string) {
		files := 0
		read := func(name string) ([]byte, error) {
			if files++; files > maxConfigFiles {
				t.Fatal("it reads files without end")
			}
			if strings.HasPrefix(name, "/") || strings.HasPrefix(name, "../") || name == ".." {
				t.Fatalf("it leaves the data directory for %q", name)
			}
			switch {
			case name == "postgresql.conf":
				return []byte(main), nil
			case strings.HasSuffix(name, ".conf"):
				return []byte(other), nil
			}
			return nil, errors.New("no such file")
		}
		list := func(string) ([]string, error) { return []string{"a.conf", "b.conf", ".c.conf", "d"}, nil }
		settings, _ := readSettings(read, list)
		seen := map[string]bool{}
		for _, s := range settings {
			if s.Name == "" || seen[s.Name] {
				t.Errorf("%q is listed without a name, or twice", s.Name)
			}
			seen[s.Name] = true
		}
	})
}
