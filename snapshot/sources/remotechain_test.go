package sources_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/snapshottest/objectstest"
	"github.com/snapview/snapview/snapshot/sources"
)

// A chain of tars in a bucket: by its last backup, by the prefix that holds it,
// by a list; the newest is compressed.
func TestS3_Chain(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
	for _, name := range []string{"fp-full", "fp-incr1", "fp-incr2"} {
		tarred(t, dir, name)
	}
	tars := filepath.Join(dir, "tars")
	snapshottest.Run(t, filepath.Join(tars, "fp-incr2"), snapshottest.Tool(t, "gzip"), "base.tar", "16384.tar")
	server := objectstest.StartS3(t)
	server.Bucket(t, "bkt", tars)
	files := objectstest.Wrap(t, http.FileServer(http.Dir(tars)))
	opts := cached(t)
	list := func(of string, more ...string) (string, snapshot.Options) {
		with := opts
		for _, m := range more {
			with.Chain = append(with.Chain, of+m)
		}
		return of + "fp-incr2", with
	}
	for _, c := range []struct {
		what string
		of   func() (string, snapshot.Options)
	}{
		{"the prefix of all", func() (string, snapshot.Options) { return "s3://bkt", opts }},
		{"the last one", func() (string, snapshot.Options) { return "s3://bkt/fp-incr2/", opts }},
		{"a list", func() (string, snapshot.Options) { return list("s3://bkt/", "fp-full", "fp-incr1") }},
		{"a list on a web server", func() (string, snapshot.Options) { return list(files.URL+"/", "fp-incr1", "fp-full") }},
		{"some here, some there", func() (string, snapshot.Options) {
			ref, with := list("s3://bkt/", "fp-full")
			with.Chain = append(with.Chain, filepath.Join(tars, "fp-incr1"))
			return ref, with
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			ref, with := c.of()
			s := open(t, ref, with)
			compareCombined(t, s)
			read := s.BytesRead()
			if s.Kind != snapshot.KindIncremental || len(s.Parts()) != 3 || read > 150<<20 {
				t.Errorf("%s of %d parts, read %d bytes", s.Kind, len(s.Parts()), read)
			}
			must(t, s.Close())
		})
	}
	found, err := sources.List(t.Context(), "s3://bkt", sources.ListOptions{Snapshot: opts})
	must(t, err)
	parents := map[string]string{}
	for _, l := range found {
		parents[l.Label] = l.Parent
		incremental := strings.HasPrefix(l.Label, "fp-incr")
		if l.Problem != "" || l.PGVersion != 17 || l.SystemID == 0 || l.Timeline != 1 || l.StopLSN <= l.StartLSN || l.Bytes == 0 ||
			l.StoredBytes == 0 || l.Time.IsZero() || incremental != (l.Kind == snapshot.KindIncremental) || incremental != (l.Type == "incremental") {
			t.Errorf("%+v", l)
		}
	}
	if len(found) != 3 || parents["fp-incr1"] != "fp-full" || parents["fp-incr2"] != "fp-incr1" || parents["fp-full"] != "" {
		t.Errorf("parents %v", parents)
	}

	// Its predecessors cannot be found on a web server, which must be said.
	if _, err := sources.Open(t.Context(), files.URL+"/fp-incr2", opts); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "name all of the chain") {
		t.Errorf("on a web server, without a list: %v", err)
	}
	snapshottest.Run(t, filepath.Join(server.Dir, "bkt"), "rm", "-r", "fp-incr1")
	if _, err := sources.Open(t.Context(), "s3://bkt/fp-incr2", opts); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "its predecessor is not in s3://bkt:") {
		t.Errorf("without its predecessor: %v", err)
	}
}
