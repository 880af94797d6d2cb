// Package testneeds has the one rule for tests that need what not every machine
// has: root, a program, a server, a file. They say what it is and are skipped;
// where SNAPVIEW_NO_SKIP is 1, as in CI, that is a failure, so that no test goes
// unrun for long without anybody knowing. It lies below all packages of the
// module, imports none of them, and only tests use it.
package testneeds

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Need ends the test unless ok: there is what it names.
func Need(t testing.TB, ok bool, what string) {
	t.Helper()
	if !ok {
		Missing(t, "%s", what)
	}
}

// Missing ends a test that lacks what it names, by a format of package fmt.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("SNAPVIEW_NO_SKIP") == "1" {
		t.Fatalf("NEEDS: "+format, args...)
	}
	t.Skipf("NEEDS: "+format, args...)
}

// Tool returns the path of a program, which it also looks for where ordinary
// users' PATH does not, or ends the test.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, name))
		}
	}
	Need(t, err == nil, name)
	return path
}
