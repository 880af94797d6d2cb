package web_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/web"
)

func TestRedact(t *testing.T) {
	for address, want := range map[string]string{
		"https://host/a/b.tar":                   "https://host/a/b.tar",
		"https://anna:geheim@host/a?sig=geheim":  "https://host/a?...",
		"http://geheim@host:81":                  "http://host:81",
		"https://host/%zz?sig=geheim":            "an address that cannot be read",
		"https:geheim":                           "an address that cannot be read",
		"https://host/a?X-Amz-Credential=geheim": "https://host/a?...",
	} {
		if got := web.Redact(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	for address, want := range map[string]struct {
		host, name string
		folder     bool
	}{
		"https://h/a/b.tar?x=1":  {"https://h/?x=1", "a/b.tar", false},
		"https://h/a/":           {"https://h/", "a", true},
		"https://h":              {"https://h/", ".", true},
		"https://u:p@h/a#b":      {"https://u:p@h/", "a", false},
		"https://h/a%20b/c%2Bd":  {"https://h/", "a b/c+d", false},
		"https://h/a%2525/../b/": {"https://h/", "b", true},
	} {
		host, name, folder, err := web.Split(address)
		if err != nil || host != want.host || name != want.name || folder != want.folder {
			t.Errorf("%s: %q, %q, %v, %v; want %v", address, host, name, folder, err, want)
		}
	}
}

// folder is a directory with a file in it.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a file"), []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openAt(t *testing.T, address, name string) (objects.Object, error) {
	t.Helper()
	s, err := web.Open(address, &snapshot.Counter{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.Open(context.Background(), name)
}

// A password goes to the host of the address only, and never over a way that
// is not encrypted if the address's is.
func TestRedirects(t *testing.T) {
	files := http.FileServer(http.Dir(folder(t)))
	seen := ""
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Get("Authorization")
		files.ServeHTTP(w, r)
	}))
	defer other.Close()
	hops := 0
	first := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/round/"):
			hops++
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/here/"):
			http.Redirect(w, r, strings.TrimPrefix(r.URL.Path, "/here"), http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/there/"):
			http.Redirect(w, r, other.URL+strings.TrimPrefix(r.URL.Path, "/there"), http.StatusFound)
		default:
			seen = r.Header.Get("Authorization")
			files.ServeHTTP(w, r)
		}
	})
	plain := httptest.NewServer(first)
	defer plain.Close()
	secret := strings.Replace(plain.URL, "http://", "http://anna:geheim@", 1)

	for address, ok := range map[string]bool{
		plain.URL + "/here/": true, plain.URL + "/there/": true, secret + "/here/": true,
		secret + "/there/": false, plain.URL + "/round/": false,
	} {
		seen = ""
		o, err := openAt(t, address, "a file")
		if (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if err != nil {
			if objects.IsPassing(err) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%s: %v", address, err)
			}
			continue
		}
		b := make([]byte, 3)
		if _, err := o.ReadAt(b, 4); err != nil || string(b) != "456" {
			t.Errorf("%s: %q, %v", address, b, err)
		}
		if (seen != "") != strings.Contains(address, "geheim") {
			t.Errorf("%s: the password was sent: %q", address, seen)
		}
	}
	if hops > 10 {
		t.Errorf("followed in a circle %d times", hops)
	}
}

func TestOpen_DistrustsCertificates(t *testing.T) {
	server := httptest.NewUnstartedServer(http.FileServer(http.Dir(folder(t))))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	_, err := openAt(t, server.URL, "a file")
	if err == nil || objects.IsPassing(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	_, err = openAt(t, strings.Replace(server.URL, "https", "http", 1), "a file")
	if err == nil || objects.IsPassing(err) {
		t.Errorf("http to a server of https: %v", err)
	}
}

func TestOpen_Names(t *testing.T) {
	server := httptest.NewServer(http.FileServer(http.Dir(folder(t))))
	defer server.Close()
	for _, name := range []string{"../etc/passwd", "/a file", "", ".", "a//b"} {
		if _, err := openAt(t, server.URL, name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := openAt(t, server.URL, "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	o, err := openAt(t, server.URL, "a file")
	if err != nil || o.Size() != 10 || o.Changed().IsZero() {
		t.Fatalf("%v", err)
	}
}
