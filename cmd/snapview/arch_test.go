package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/snapview/snapview/"

// mayImport is the house's plan: which packages of ours a package may use. A
// package below a folder counts as the folder.
var mayImport = map[string][]string{
	"cmd/snapview": {"session", "web", "snapshot", "attach", "pgrunner", "cow", "growth", "check"},
	"session":      {"snapshot", "ext4", "cow", "nbdserver", "attach", "pgrunner", "block", "growth"},
	"ext4":         {"block"},
	"cow":          {"block"},
	"nbdserver":    {"block"},
	"attach":       {"block"},
	"block":        {},
	"snapshot":     {"testneeds"}, // its test helpers, which other packages' tests use
	"pgrunner":     {},
	"growth":       {},
	"testneeds":    {},
	"check":        {},
	"web":          {},
	"scripts":      {"session", "web", "snapshot", "ext4", "cow", "nbdserver", "attach", "pgrunner", "block", "growth"},
}

// room is the folder that a package belongs to.
func room(path string) string {
	path = strings.TrimPrefix(path, module)
	if path == "cmd/snapview" {
		return path
	}
	top, _, _ := strings.Cut(path, "/")
	return top
}

func TestPackagesImportOnlyWhatThePlanAllows(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	list := json.NewDecoder(strings.NewReader(string(out)))
	packages := 0
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := list.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages++
		from := room(p.ImportPath)
		allowed, known := mayImport[from]
		if !known {
			t.Errorf("%s: no room for it in the plan", p.ImportPath)
		}
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module) {
				continue
			}
			to := room(imported)
			if to != from && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s, which the plan does not allow", p.ImportPath, imported)
			}
			if from == "snapshot" && sourcesImportEachOther(p.ImportPath, imported) {
				t.Errorf("%s imports %s: sources never import each other", p.ImportPath, imported)
			}
		}
	}
	if packages < len(mayImport) {
		t.Errorf("only %d packages were looked at", packages)
	}
}

// helpers of the sources, which several of them may share.
var sourceHelpers = []string{"snapshot", "snapshot/tarindex", "snapshot/layout", "snapshot/seekable", "snapshot/cache", "snapshot/hostdir", "snapshot/tarset", "snapshot/tarheaders", "snapshot/spans", "snapshot/inflate", "snapshot/lz4frame", "snapshot/objects", "snapshot/objects/mounted", "snapshot/compressed", "snapshot/zstdframe"}

// catalogues are the sources that add a catalogue to backups which other sources
// read, and so may import those.
var catalogues = map[string][]string{"snapshot/barman": {"snapshot/directory", "snapshot/tars"}}

func sourcesImportEachOther(from, to string) bool {
	from, to = strings.TrimPrefix(from, module), strings.TrimPrefix(to, module)
	if slices.Contains(catalogues[from], to) {
		return false
	}
	if from == "snapshot/sources" || strings.HasSuffix(from, "test") || strings.HasPrefix(from, "snapshot/snapshottest") || sourceOf(from) == sourceOf(to) {
		return false
	}
	return !slices.Contains(sourceHelpers, to)
}

// sourceOf is the folder of the source that a package belongs to.
func sourceOf(path string) string {
	elems := strings.SplitN(path, "/", 3)
	return strings.Join(elems[:min(2, len(elems))], "/")
}
