package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/web"
)

// The password of a store's address is sent to the store and shown to nobody;
// what is listed opens all the same.
func TestCatalogue_KeepsSecrets(t *testing.T) {
	dir := filepath.Join(snapshottest.Unpack(t, "pg15/pg15-tar-gz.tar.zst"), "tar-gz")
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "anna" || password != "geheim" || r.URL.Query().Get("sig") != "heimlich" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	opts := session.Options{Snapshot: snapshot.Options{CacheDir: t.TempDir()}}
	stores := []string{
		"http://anna:wrong@" + host + "/?sig=heimlich", // 401
		"http://anna:geheim@" + host + "/?sig=heimlich",
	}
	c := newCatalogue(&house{}, stores, 1, opts, web.OpenLimits{})
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := c.List(t.Context())
	if err != nil || len(list.Items) != 1 || list.Stores[0].Problem == "" || list.Stores[1].Problem != "" {
		t.Fatalf("%+v, %v", list, err)
	}
	snap, err := c.Preflight(t.Context(), list.Items[0].Reference, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, missing := c.Preflight(t.Context(), "http://"+host+"/other", nil)
	if missing == nil {
		t.Error("what is not listed was opened")
	}
	for what, v := range map[string]any{"the list": list, "the preflight": snap, "what serve prints": c.shown(), "an error": missing.Error()} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"geheim", "heimlich", "wrong", "anna"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s has the secret %q: %s", what, secret, text)
			}
		}
	}
	if got, err := c.reveal(list.Items[0].Reference); err != nil || got[0] != stores[1] {
		t.Errorf("opened by %q, want %q: %v", got, stores[1], err)
	}
}
