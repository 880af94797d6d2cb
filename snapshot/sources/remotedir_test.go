package sources_test

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/snapshottest/objectstest"
	"github.com/snapview/snapview/snapshot/sources"
)

// synced is a folder as a copy of a plain backup, links followed, makes it.
func synced(t *testing.T) (dir string, want map[string]string) {
	t.Helper()
	dir = snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	pgdata := filepath.Join(dir, "fp")
	want = snapshottest.TreeOf(t, pgdata, map[uint32]string{16384: filepath.Join(dir, "fp_ts1")})
	must(t, os.Remove(filepath.Join(pgdata, "pg_tblspc/16384")))
	must(t, os.Rename(filepath.Join(dir, "fp_ts1"), filepath.Join(pgdata, "pg_tblspc/16384")))
	return dir, want
}

func TestRemoteDirectory_Conforms(t *testing.T) {
	dir, want := synced(t)
	server := objectstest.StartS3(t)
	server.Bucket(t, "bkt", dir)
	snapshottest.Untouched(t, server.Dir)
	files := objectstest.Wrap(t, http.FileServer(http.Dir(dir)))
	between := objectstest.Before(t, server)
	for _, ref := range []string{"s3://bkt/fp", files.URL + "/fp/"} {
		t.Run(ref[:4], func(t *testing.T) {
			opts := cached(t)
			if strings.HasPrefix(ref, "http") { // the manifest does not name it
				delete(want, "data/pg_wal/archive_status/000000010000000000000014.done")
			}
			first := open(t, ref, opts)
			// pg_control, backup_label, the manifest and such, not the data.
			if n := first.BytesRead(); n > 600<<10 {
				t.Errorf("opening it read %d bytes", n)
			}
			if n := between.Requests.Load() + files.Requests.Load(); n > 120 {
				t.Errorf("opening it took %d requests", n)
			}
			must(t, first.Close())
			snapshottest.Suite{
				Want: want,
				Open: func(t testing.TB) *snapshot.Snapshot {
					s := open(t, ref, opts)
					if s.Kind != snapshot.KindDirectory || s.Ref != strings.TrimSuffix(ref, "/") && s.Ref != ref || len(s.Tablespaces) != 1 {
						t.Errorf("%s %s, %d tablespaces", s.Kind, s.Ref, len(s.Tablespaces))
					}
					return s
				},
			}.Run(t)
			between.Requests.Store(0)
			files.Requests.Store(0)
		})
	}
	list, err := sources.List(t.Context(), "s3://bkt", sources.ListOptions{Snapshot: cached(t)})
	must(t, err)
	if len(list) != 1 || list[0].Ref != "s3://bkt/fp" || list[0].PGVersion != 15 || list[0].SystemID == 0 || list[0].StopLSN <= list[0].StartLSN ||
		list[0].Timeline != 1 || list[0].Time.IsZero() || list[0].Bytes == 0 || list[0].Problem != "" {
		t.Errorf("%+v", list)
	}
}

// A store whose lists have other tags than its answers is asked for each file.
func TestRemoteDirectory_OtherTags(t *testing.T) {
	dir, want := synced(t)
	server := objectstest.StartS3(t)
	server.Bucket(t, "bkt", dir)
	between := objectstest.Before(t, server)
	between.Set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !r.URL.Query().Has("list-type") {
			next.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		body := strings.ReplaceAll(answer.Body.String(), "<ETag>", "<ETag>other")
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(answer.Code)
		_, _ = w.Write([]byte(body)) // the client notices
	})
	s := open(t, "s3://bkt/fp", cached(t))
	defer s.Close()
	snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
}

func TestRemoteDirectory_ReplacedAndCut(t *testing.T) {
	dir, _ := synced(t)
	server := objectstest.StartS3(t)
	server.Bucket(t, "bkt", dir)
	files := objectstest.Wrap(t, http.FileServer(http.Dir(dir)))
	s := open(t, "s3://bkt/fp", cached(t))
	defer s.Close()
	victim := filepath.Join(server.Dir, "bkt/fp/base/5/112")
	info, err := os.Stat(victim)
	must(t, err)
	must(t, os.WriteFile(victim, make([]byte, info.Size()), 0o600))
	// This server's files have no ETag of their own: what tells is the time, in
	// seconds as HTTP has it.
	later := info.ModTime().Add(time.Minute)
	must(t, os.Chtimes(victim, later, later))
	if _, err := fs.ReadFile(s.Tree, "data/base/5/112"); !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "s3://bkt/fp/base/5/112") {
		t.Errorf("replaced: %v", err)
	}
	refused := func(ref string, class error, text string) {
		t.Helper()
		s, err := sources.Open(t.Context(), ref, cached(t))
		if err == nil {
			err = s.Err()
			must(t, s.Close())
		}
		if !errors.Is(err, class) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v; want it to hold %q and be %v", ref, err, text, class)
		}
	}
	must(t, os.RemoveAll(filepath.Join(server.Dir, "bkt/fp/pg_tblspc")))
	refused("s3://bkt/fp", snapshot.ErrUnsafe, "tablespace 16384")
	must(t, os.Remove(filepath.Join(server.Dir, "bkt/fp/global/pg_control")))
	refused("s3://bkt/fp", snapshot.ErrDamaged, "pg_control")
	must(t, os.Remove(filepath.Join(dir, "fp/backup_manifest")))
	refused(files.URL+"/fp", snapshot.ErrUnsupported, "no list of its files")
}

// Plain incremental backups, file by file.
func TestRemoteDirectory_Chain(t *testing.T) {
	dir := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
	for _, name := range []string{"fp-full", "fp-incr1", "fp-incr2"} {
		link := filepath.Join(dir, name, "pg_tblspc/16384")
		must(t, os.Remove(link))
		must(t, os.Rename(filepath.Join(dir, name+"-ts1"), link))
	}
	server := objectstest.StartS3(t)
	server.Bucket(t, "bkt", dir)
	s := open(t, "s3://bkt", cached(t))
	defer s.Close()
	compareCombined(t, s)
}
