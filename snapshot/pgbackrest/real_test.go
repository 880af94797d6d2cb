package pgbackrest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/pgbackrest"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

const secret = "open sesame"

// A setup is one way of keeping backups: a configuration of the real program,
// with a repository of its own.
//
// A server allows one backup at a time, and the program waits for the next
// second in each. So one setup has its backups made of the server, and the
// others of a copy of it, all at the same time.
type setup struct {
	name    string
	conf    []string // below [global]
	backups int      // full, differential, incremental
	online  bool
}

const (
	bundle = "repo1-bundle=y"
	block  = "repo1-block=y"
	crypt  = "repo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=" + secret
)

// setups cover every codec, with and without bundles and a cipher.
var setups = []setup{
	{"zst-bundle-cipher", []string{"compress-type=zst", bundle, crypt}, 3, true},
	{"gz", []string{"compress-type=gz"}, 2, false},
	{"lz4-bundle", []string{"compress-type=lz4", bundle}, 1, false},
	{"bz2-cipher", []string{"compress-type=bz2", crypt}, 1, false},
	{"none", []string{"compress-type=none"}, 1, false},
	{"none-bundle-cipher", []string{"compress-type=none", bundle, crypt}, 1, false},
}

// later need pgBackRest 2.46; Debian 12's is older, so they run only where the
// program is named by SNAPVIEW_PGBACKREST. The fixtures cover them always.
var later = []setup{
	{"block-zst", []string{"compress-type=zst", bundle, block}, 3, true},
	{"block-gz-cipher", []string{"compress-type=gz", bundle, block, crypt}, 2, false},
	{"block-none", []string{"compress-type=none", bundle, block}, 2, false},
	{"block-lz4", []string{"compress-type=lz4", bundle, block}, 2, false},
	{"block-bz2-cipher", []string{"compress-type=bz2", bundle, block, crypt}, 2, false},
}

// A site is a running server and its repositories.
type site struct {
	*snapshottest.Server
	program string
	setups  []setup
	oid     uint32 // of the tablespace
}

func (s *site) repo(c setup) string { return filepath.Join(s.Dir, "repo-"+c.name) }

// line is the beginning of a command line.
func (s *site) line(c setup) string {
	return fmt.Sprintf("%s --config=%s/%s.conf --stanza=main ", s.program, s.Dir, c.name)
}

func (s *site) run(c setup, command string) error { return s.shell(s.line(c) + command) }

// shell runs a command line as the server's user. Unlike Server.Shell it may be
// called by several goroutines at once.
func (s *site) shell(line string) error {
	args := []string{"env", "PGHOST=" + s.Dir, "PGUSER=postgres", "sh", "-ec", line}
	if os.Getuid() == 0 {
		args = append([]string{"runuser", "-u", "postgres", "--"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = s.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", line, err, out)
	}
	return nil
}

// round makes the n-th backup of each setup.
func (s *site) round(t testing.TB, n int) {
	t.Helper()
	data := fmt.Sprintf("%s/copy%d", s.Dir, n)
	s.Run("pg_basebackup", "-D", data, "-Fp", "-c", "fast", "-N", "-T", s.Dir+"/ts="+data+"-ts")
	s.Shell(fmt.Sprintf("mkdir -p links/1 links/2; echo '# linked' >links/1/file.conf; echo x%d >links/2/x; ln -s %s/links/1/file.conf %s/links/2 %s", n, s.Dir, s.Dir, data))
	kind := []string{"full", "diff", "incr"}[n]
	var running sync.WaitGroup
	backup := func(c setup) {
		command := "backup --type=" + kind
		if !c.online {
			command += " --no-online --pg1-path=" + data
		}
		if err := s.run(c, command); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	running.Go(func() {
		for _, c := range s.setups {
			if c.online && c.backups > n {
				backup(c)
			}
		}
	})
	for _, c := range s.setups {
		if !c.online && c.backups > n {
			running.Go(func() { backup(c) })
		}
	}
	running.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// newSite starts a server with some data and makes the backups.
func newSite(t *testing.T) *site {
	s := &site{program: os.Getenv("SNAPVIEW_PGBACKREST"), setups: slices.Clone(setups)}
	if s.program == "" {
		s.program = snapshottest.Tool(t, "pgbackrest")
	} else {
		s.setups = append(s.setups, later...)
	}
	s.Server = snapshottest.StartServer(t)
	s.Shell("mkdir wal ts")
	s.Run("psql", "-qc", "alter system set archive_mode = on", "-c", "alter system set archive_command = 'cp %p "+s.Dir+"/wal/%f'")
	s.Run("pg_ctl", "-D", "data", "-w", "-t", "60", "-l", "log", "restart")
	sql := func(line string) { s.Run("psql", "-qc", line) }
	sql("create tablespace fast location '" + s.Dir + "/ts'")
	sql("create table big as select i, md5(i::text) || repeat('x', 100) as t from generate_series(1, 60000) i")
	sql("create table t tablespace fast as select i from generate_series(1, 1000) i; create index on big (i)")
	sql("create unlogged table u as select 1")
	if _, err := fmt.Sscan(s.Run("psql", "-Atc", "select oid from pg_tablespace where spcname = 'fast'"), &s.oid); err != nil {
		t.Fatal(err)
	}
	for _, c := range s.setups {
		conf := []string{
			"[global]", "log-level-console=warn", "log-level-file=off", "start-fast=y", "archive-check=n", "compress-level=1",
			"lock-path=" + s.Dir + "/lock-" + c.name, "spool-path=" + s.Dir + "/spool", "log-path=" + s.Dir,
			"repo1-path=" + s.repo(c), "repo1-retention-full=9",
		}
		conf = append(append(conf, c.conf...), "[main]", "pg1-path="+s.Dir+"/data", "pg1-socket-path="+s.Dir, "")
		if err := os.WriteFile(filepath.Join(s.Dir, c.name+".conf"), []byte(strings.Join(conf, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.run(c, "stanza-create --no-online"); err != nil {
			t.Fatal(err)
		}
	}
	s.round(t, 0)
	sql("update big set t = 'changed' where i between 30000 and 31000; insert into t select 1")
	s.round(t, 1)
	sql("delete from big where i < 100; create table later as select 1")
	s.round(t, 2)
	for _, c := range s.setups {
		if c.online {
			if err := s.shell("for f in wal/*; do " + s.line(c) + "archive-push " + s.Dir + "/$f; done"); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// open opens a repository of this host.
func open(t testing.TB, dir string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	t.Helper()
	counter := &snapshot.Counter{}
	store, err := objects.OpenLocal(dir, 0, counter)
	if err != nil {
		t.Fatal(err)
	}
	if opts.CacheDir == "" {
		opts.CacheDir = t.TempDir()
	}
	return pgbackrest.Open(t.Context(), store, counter, opts)
}

func passphrase(s string) func(string) ([]byte, error) {
	return func(string) ([]byte, error) { return []byte(s), nil }
}

// mustOpen opens what must be fit to be opened.
func mustOpen(t testing.TB, dir string, opts snapshot.Options) *snapshot.Snapshot {
	t.Helper()
	s, err := open(t, dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Err(); err != nil {
		t.Fatalf("refused: %v\n%s", err, snapshottest.Report(s))
	}
	return s
}

// restored has the real program restore a backup and returns the hashes that
// the tree must have. restore leaves out two things: tablespace_map, for which
// it makes the links itself, and the WAL, which it would fetch during recovery.
// It adds recovery.signal, and would add to postgresql.auto.conf what recovery
// needs (--type=none keeps it from that).
func (s *site) restored(t testing.TB, c setup, label string) map[string]string {
	t.Helper()
	to := filepath.Join(s.Dir, "restored-"+c.name)
	if err := s.run(c, fmt.Sprintf("--pg1-path=%s/data --tablespace-map=%d=%s/ts --set=%s --type=none --log-level-console=error restore", to, s.oid, to, label)); err != nil {
		t.Fatal(err)
	}
	want := snapshottest.TreeOf(t, filepath.Join(to, "data"), map[uint32]string{s.oid: filepath.Join(to, "ts")})
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	delete(want, "data/recovery.signal")
	if c.online && len(s.setups) > len(setups) {
		// Later versions make pg_control useless without backup_label.
		delete(want, "data/global/pg_control")
	}
	return want
}

// compare compares a tree with what the real program restored.
func (s *site) compare(t testing.TB, snap *snapshot.Snapshot, online bool, want map[string]string) {
	t.Helper()
	wal := snapshottest.Hashes(t, os.DirFS(filepath.Join(s.Dir, "wal")))
	got := snapshottest.Hashes(t, snap.Tree)
	segments := 0
	for name, sum := range got {
		if segment, ok := strings.CutPrefix(name, "data/pg_wal/"); ok && want[name] == "" {
			if segments++; sum != wal[segment] {
				t.Errorf("%s is not what was archived", name)
			}
			delete(got, name)
		}
	}
	delete(got, "data/tablespace_map")
	if want["data/global/pg_control"] == "" {
		delete(got, "data/global/pg_control") // see restored
	}
	if online != (segments > 0) {
		t.Errorf("%d segments of WAL from the archive", segments)
	}
	snapshottest.Compare(t, got, want)
}

func TestReal_EqualsRestore(t *testing.T) {
	s := newSite(t)
	for _, c := range s.setups {
		t.Run(c.name, func(t *testing.T) {
			snapshottest.Untouched(t, s.repo(c))
			// pgBackRest does not put backup_label into a backup of a server that
			// does not run.
			opts := snapshot.Options{CacheDir: t.TempDir(), AssumeCrashConsistent: !c.online}
			if slices.Contains(c.conf, crypt) {
				if _, err := open(t, s.repo(c), opts); !isPassphrase(err) {
					t.Errorf("without a passphrase: %v", err)
				}
				opts.Passphrase = passphrase("wrong")
				if _, err := open(t, s.repo(c), opts); !isPassphrase(err) {
					t.Errorf("with a wrong passphrase: %v", err)
				}
				opts.Passphrase = passphrase(secret)
			}
			labels := labels(t, filepath.Join(s.repo(c), "backup/main"))
			if len(labels) != c.backups {
				t.Fatalf("backups: %v", labels)
			}
			for i, label := range labels {
				opts.Select = label
				want := s.restored(t, c, label)
				if i < len(labels)-1 {
					snap := mustOpen(t, s.repo(c), opts)
					s.compare(t, snap, c.online, want)
					if err := snap.Close(); err != nil {
						t.Error(err)
					}
					continue
				}
				opts.Select = "latest"
				snap := mustOpen(t, s.repo(c), opts)
				s.compare(t, snap, c.online, want)
				s.look(t, snap, label, c.online)
				var all map[string]string
				if c.online {
					all = snapshottest.Hashes(t, snap.Tree)
				}
				if err := snap.Close(); err != nil {
					t.Error(err)
				}
				if c.online {
					snapshottest.Suite{
						Want: all, MaxOpen: 2 << 20,
						Open: func(t testing.TB) *snapshot.Snapshot { return mustOpen(t, s.repo(c), opts) },
					}.Run(t)
				}
			}
		})
	}
}

// look checks what the snapshot says of itself.
func (s *site) look(t *testing.T, snap *snapshot.Snapshot, label string, online bool) {
	t.Helper()
	id := snap.Identity
	if snap.Kind != snapshot.KindPgBackRest || !strings.HasSuffix(snap.Ref, "#main/"+label) || id.PGVersion != 15 ||
		online && id.EndLSN <= id.StartLSN || id.StopTime.IsZero() || len(snap.Tablespaces) != 1 || snap.Tablespaces[0].Files == 0 {
		t.Errorf("%s: %+v, %+v", snap.Ref, id, snap.Tablespaces)
	}
	if got := snapshottest.Outcomes(snap); got["wal"] != snapshot.OK && got["wal"] != snapshot.Info || got["unlogged tables"] != snapshot.Warn {
		t.Errorf("checks:\n%s", snapshottest.Report(snap))
	}
}

// labels returns the labels of a stanza's backups, in order of time.
func labels(t testing.TB, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && pgbackrest.IsLabel(e.Name()) {
			list = append(list, e.Name())
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		return strings.Compare(a[strings.LastIndex(a, "_")+1:], b[strings.LastIndex(b, "_")+1:])
	})
	return list
}
