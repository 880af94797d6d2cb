package sources_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/snapshottest/objectstest"
	"github.com/snapview/snapview/snapshot/sources"
)

// remoteTar unpacks a plain cluster and makes one tar of it, beside its tree's
// hashes.
func remoteTar(t *testing.T) (dir string, want map[string]string) {
	t.Helper()
	plain := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	want = snapshottest.TreeOf(t, filepath.Join(plain, "fp"), map[uint32]string{16384: filepath.Join(plain, "fp_ts1")})
	dir = t.TempDir()
	snapshottest.Run(t, plain, "tar", "-cf", filepath.Join(dir, "base.tar"), "-C", plain, "fp", "fp_ts1")
	return dir, want
}

// gzFolder is a folder of compressed tars with a tablespace.
func gzFolder(t *testing.T) string {
	return filepath.Join(snapshottest.Unpack(t, "pg15/pg15-tar-gz.tar.zst"), "tar-gz")
}

func cached(t *testing.T) snapshot.Options { return snapshot.Options{CacheDir: t.TempDir()} }

// tarFolder is the same, not compressed.
func plainTars(t *testing.T) string {
	dir := gzFolder(t)
	snapshottest.Run(t, dir, "sh", "-c", "gunzip *.gz")
	return dir
}

func TestS3_Conforms(t *testing.T) {
	dir := plainTars(t)
	server := objectstest.StartS3(t)
	server.Bucket(t, "backups", filepath.Dir(dir))
	snapshottest.Untouched(t, server.Dir)
	want := snapshottest.Hashes(t, open(t, dir, snapshot.Options{}).Tree)
	opts := cached(t)
	snapshottest.Suite{
		Want: want,
		Open: func(t testing.TB) *snapshot.Snapshot {
			s := open(t, "s3://backups/tar-gz", opts)
			if s.Kind != snapshot.KindTarFolder || s.Ref != "s3://backups/tar-gz" {
				t.Errorf("kind %q, reference %q", s.Kind, s.Ref)
			}
			return s
		},
	}.Run(t)
	if n := open(t, "s3://backups/tar-gz", opts).BytesRead(); n > 100 {
		t.Errorf("opening what is in the cache fetched %d bytes", n)
	}
}

func TestS3_CompressedFolderAndKloset(t *testing.T) {
	server := objectstest.StartS3(t)
	server.Bucket(t, "compressed", gzFolder(t))
	opts := cached(t)
	if s := open(t, "s3://compressed", opts); s.Kind != snapshot.KindCompressed || len(s.Tablespaces) != 1 {
		t.Errorf("kind %q, %d tablespaces", s.Kind, len(s.Tablespaces))
	}
	t.Setenv("AWS_REGION", "") // the store is asked for it
	ptar, err := os.ReadFile(snapshottest.Fixture(t, "kloset/kloset-plain.ptar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(server.Dir, "compressed", "a.ptar"), ptar, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := sources.Open(context.Background(), "s3://compressed/a.ptar", opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil || s.Kind != snapshot.KindKloset {
		t.Errorf("kind %q, %v", s.Kind, err)
	}
}

func TestS3_List(t *testing.T) {
	gz, plain := gzFolder(t), plainTars(t)
	server := objectstest.StartS3(t)
	server.Bucket(t, "backups", filepath.Dir(plain))
	if err := os.CopyFS(filepath.Join(server.Dir, "backups", "deep", "er"), os.DirFS(gz)); err != nil {
		t.Fatal(err)
	}
	ptar, err := os.ReadFile(snapshottest.Fixture(t, "kloset/kloset-plain.ptar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(server.Dir, "backups", "a.ptar"), ptar, 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := sources.List(context.Background(), "s3://backups?endpoint=http://"+server.Address, sources.ListOptions{Snapshot: cached(t)})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[snapshot.Kind]int{}
	for _, l := range list {
		kinds[l.Kind]++
		if l.Problem != "" || l.Time.IsZero() || l.Kind == snapshot.KindTarFolder && (l.StartLSN == 0 || l.Bytes == 0) {
			t.Errorf("%+v", l)
		}
		if l.Kind == snapshot.KindKloset {
			continue // several, of which not all hold a cluster
		}
		s, err := sources.Open(context.Background(), l.Ref, cached(t))
		if err != nil {
			t.Errorf("%s: %v", l.Ref, err)
			continue
		}
		if err := s.Close(); err != nil || s.Kind != l.Kind {
			t.Errorf("%s is listed as %s and opens as %s, %v", l.Ref, l.Kind, s.Kind, err)
		}
	}
	if kinds[snapshot.KindTarFolder] != 1 || kinds[snapshot.KindCompressed] != 1 || kinds[snapshot.KindKloset] == 0 {
		t.Errorf("found %v", kinds)
	}
	if _, err := sources.List(context.Background(), "s3://backups/nothing", sources.ListOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a list of nothing: %v", err)
	}
}

func TestHTTP_Conforms(t *testing.T) {
	dir, want := remoteTar(t)
	server := objectstest.Wrap(t, http.FileServer(http.Dir(dir)))
	address := strings.Replace(server.URL, "http://", "http://anna:geheim@", 1) + "/base.tar?X-Amz-Signature=geheim"
	opts := cached(t)
	snapshottest.Suite{
		Want: want,
		Open: func(t testing.TB) *snapshot.Snapshot {
			s := open(t, address, opts)
			if strings.Contains(s.Ref, "geheim") || s.Kind != snapshot.KindTar {
				t.Errorf("kind %q, reference %q", s.Kind, s.Ref)
			}
			return s
		},
	}.Run(t)
}

// A web server has no list of a folder's files: they are found by their names.
func TestHTTP_Folder(t *testing.T) {
	for _, dir := range []string{plainTars(t), gzFolder(t)} {
		want := snapshottest.Hashes(t, open(t, dir, cached(t)).Tree)
		server := objectstest.Wrap(t, http.FileServer(http.Dir(filepath.Dir(dir))))
		for _, address := range []string{server.URL + "/tar-gz", server.URL + "/tar-gz/"} {
			s := open(t, address, cached(t))
			if len(s.Tablespaces) != 1 {
				t.Errorf("%d tablespaces", len(s.Tablespaces))
			}
			snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// Faults that pass must not be noticed but for the time they take.
func TestS3_PassingFaults(t *testing.T) {
	dir, want := remoteTar(t)
	server := objectstest.StartS3(t)
	server.Bucket(t, "bkt", dir)
	between := objectstest.Before(t, server)
	for name, fault := range map[string]objectstest.Fault{
		"slow down":       objectstest.Answer(503, "SlowDown"),
		"internal error":  objectstest.Answer(500, "InternalError"),
		"bad gateway":     objectstest.Answer(502, ""),
		"no answer":       objectstest.Down,
		"cut in the body": objectstest.Cut(100_000),
		"reset":           objectstest.Reset(100_000),
		"reset at once":   objectstest.Reset(0),
	} {
		t.Run(name, func(t *testing.T) {
			between.Set(objectstest.Times(2, fault))
			s := open(t, "s3://bkt/base.tar", cached(t))
			between.Set(objectstest.Times(2, fault))
			snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// An interruption while a session reads: reads wait, and go on.
func TestS3_Interruption(t *testing.T) {
	dir, want := remoteTar(t)
	server := objectstest.StartS3(t)
	server.Bucket(t, "bkt", dir)
	between := objectstest.Before(t, server)
	opts := cached(t)
	var mu sync.Mutex
	var told []string
	opts.Notice = func(m string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, m)
	}
	s := open(t, "s3://bkt/base.tar", opts)
	defer s.Close()
	if err := os.RemoveAll(opts.CacheDir); err != nil { // what is on disk would not be missed
		t.Fatal(err)
	}
	between.Set(objectstest.Down)
	heal := time.AfterFunc(2*time.Second, func() { between.Set(nil) })
	defer heal.Stop()
	snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
	mu.Lock()
	defer mu.Unlock()
	if len(told) < 2 || !strings.Contains(told[0], "waits for s3://bkt") || !strings.Contains(told[len(told)-1], "answers again") {
		t.Errorf("told %q", told)
	}
}

func TestRemote_LastingFaults(t *testing.T) {
	dir, _ := remoteTar(t)
	server := objectstest.StartS3(t)
	server.Bucket(t, "bkt", dir)
	if err := os.WriteFile(filepath.Join(server.Dir, "bkt", "note"), []byte("no backup"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(server.Dir, "bkt", "empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	between := objectstest.Before(t, server)
	files := objectstest.Wrap(t, http.FileServer(http.Dir(dir)))
	lie := func(value string) objectstest.Fault {
		return objectstest.Headers(func(status int, h http.Header) {
			if status == http.StatusPartialContent {
				h.Set("Content-Range", value)
			}
		})
	}
	elsewhere := func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, "ftp://elsewhere.example/base.tar", http.StatusTemporaryRedirect)
	}
	whole := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		_, _ = w.Write(make([]byte, 100_000)) // the client does not read it
	}
	for name, c := range map[string]struct {
		ref   string
		fault objectstest.Fault
		class error // nil: any
		text  string
	}{
		"no such object":      {ref: "s3://bkt/nothing", class: fs.ErrNotExist, text: "s3://bkt/nothing"},
		"no such bucket":      {ref: "s3://nobucket/base.tar", class: fs.ErrNotExist, text: "no bucket nobucket"},
		"no backup":           {ref: "s3://bkt/note", class: snapshot.ErrNotABackup, text: "s3://bkt/note"},
		"empty object":        {ref: "s3://bkt/empty", class: snapshot.ErrNotABackup, text: "s3://bkt/empty"},
		"denied":              {ref: "s3://bkt/base.tar", fault: objectstest.Answer(403, "AccessDenied"), class: fs.ErrPermission, text: "AWS_PROFILE"},
		"token expired":       {ref: "s3://bkt/base.tar", fault: objectstest.Answer(400, "ExpiredToken"), class: fs.ErrPermission, text: "new credentials"},
		"archived":            {ref: "s3://bkt/base.tar", fault: objectstest.Answer(403, "InvalidObjectState"), class: snapshot.ErrUnsupported, text: "GLACIER"},
		"no list":             {ref: "s3://bkt/", fault: objectstest.Answer(403, "AccessDenied"), class: fs.ErrPermission, text: "s3://bkt"},
		"sent elsewhere":      {ref: "s3://bkt/base.tar", fault: elsewhere, text: "elsewhere"},
		"no ranges":           {ref: "s3://bkt/base.tar", fault: whole, class: snapshot.ErrUnsupported, text: "Range"},
		"absurd size":         {ref: "s3://bkt/base.tar", fault: lie("bytes 0-0/9223372036854775807"), text: "Content-Range"},
		"other range":         {ref: "s3://bkt/base.tar", fault: lie("bytes 5-5/100"), text: "asked for"},
		"nonsense":            {ref: "s3://bkt/base.tar", fault: lie("bytes 0-0/*"), text: "Content-Range"},
		"an endless number":   {ref: "s3://bkt/base.tar", fault: lie("bytes 0-0/" + strings.Repeat("9", 10_000)), text: "Content-Range"},
		"bad parameter":       {ref: "s3://bkt/base.tar?nonsense=1", text: "nonsense"},
		"password in s3":      {ref: "s3://key:geheim@bkt/base.tar", text: "environment"},
		"web: none":           {ref: files.URL + "/nothing", class: fs.ErrNotExist, text: "/nothing"},
		"web: a folder":       {ref: files.URL + "/nothing/", class: snapshot.ErrNotABackup, text: "base.tar"},
		"web: denied":         {ref: files.URL + "/base.tar?sig=geheim", fault: objectstest.Answer(403, ""), class: fs.ErrPermission, text: "403"},
		"web: no ranges":      {ref: files.URL + "/base.tar", fault: objectstest.WithoutRange, class: snapshot.ErrUnsupported, text: "Range"},
		"web: sent elsewhere": {ref: files.URL + "/base.tar", fault: elsewhere, text: "ftp://elsewhere.example"},
		"web: absurd size":    {ref: files.URL + "/base.tar", fault: lie("bytes 0-0/9223372036854775807"), text: "Content-Range"},
		"another scheme":      {ref: "gopher://anna:geheim@x/y", class: snapshot.ErrUnsupported, text: "gopher"},
	} {
		t.Run(name, func(t *testing.T) {
			between.Set(c.fault)
			files.Set(c.fault)
			defer between.Set(nil)
			defer files.Set(nil)
			s, err := sources.Open(context.Background(), c.ref, cached(t))
			if err == nil {
				t.Fatal(errors.Join(errors.New("it opened"), s.Close()))
			}
			if c.class != nil && !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("error %v; want it to hold %q and be %v", err, c.text, c.class)
			}
		})
	}
	t.Run("store down", func(t *testing.T) {
		if testing.Short() {
			t.Skip("takes the patience of opening")
		}
		between.Set(objectstest.Down)
		defer between.Set(nil)
		_, err := sources.Open(context.Background(), "s3://bkt/base.tar", cached(t))
		if !objects.IsPassing(err) || !strings.Contains(err.Error(), "does not answer") || !strings.Contains(err.Error(), "tried") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("wrong secret", func(t *testing.T) {
		t.Setenv("AWS_SECRET_ACCESS_KEY", "geheim")
		_, err := sources.Open(context.Background(), "s3://bkt/base.tar", cached(t))
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "SignatureDoesNotMatch") || strings.Contains(err.Error(), "geheim") {
			t.Errorf("error %v", err)
		}
	})
}

// An object that is replaced under way is an error, never a mixture.
func TestRemote_Replaced(t *testing.T) {
	dir, _ := remoteTar(t)
	server := objectstest.StartS3(t)
	server.Bucket(t, "bkt", dir)
	files := objectstest.Wrap(t, http.FileServer(http.Dir(dir)))
	careless := objectstest.Wrap(t, http.FileServer(http.Dir(dir))) // a server that ignores conditions
	careless.Set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r.Header.Del("If-Range")
		r.Header.Del("If-Unmodified-Since")
		next.ServeHTTP(w, r)
	})
	for _, c := range []struct{ ref, file string }{
		{careless.URL + "/base.tar", filepath.Join(dir, "base.tar")},
		{"s3://bkt/base.tar", filepath.Join(server.Dir, "bkt", "base.tar")},
		{files.URL + "/base.tar", filepath.Join(dir, "base.tar")},
	} {
		s := open(t, c.ref, cached(t))
		info, err := os.Stat(c.file)
		if err != nil {
			t.Fatal(err)
		}
		later := info.ModTime().Add(time.Hour)
		if err := os.Chtimes(c.file, later, later); err != nil {
			t.Fatal(err)
		}
		// Something that opening has not read.
		err = fs.WalkDir(s.Tree, ".", func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				_, err = fs.ReadFile(s.Tree, name)
			}
			return err
		})
		if !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "replaced") {
			t.Errorf("%s: reading after the object was replaced: %v", c.ref, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRemote_Cancelled(t *testing.T) {
	dir, _ := remoteTar(t)
	files := objectstest.Wrap(t, http.FileServer(http.Dir(dir)))
	ctx, cancel := context.WithCancel(context.Background())
	files.Set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if files.Requests.Load() < 2 {
			next.ServeHTTP(w, r)
			return
		}
		cancel()
		<-r.Context().Done() // never an answer
	})
	if _, err := sources.Open(ctx, files.URL+"/base.tar", cached(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("opening was interrupted: %v", err)
	}
}
