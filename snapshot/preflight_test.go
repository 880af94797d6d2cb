package snapshot_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

func TestMemory_Conforms(t *testing.T) {
	snapshottest.Suite{Open: func(t testing.TB) *snapshot.Snapshot {
		s, err := snapshottest.NewCluster().Snapshot(t, snapshot.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, MaxOpen: 64 << 10, Whole: true}.Run(t)
}

func TestIdentify_WholeClusterPasses(t *testing.T) {
	s, err := snapshottest.NewCluster().Snapshot(t, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Err(); err != nil {
		t.Fatalf("refused: %v\n%s", err, snapshottest.Report(s))
	}
	id := s.Identity
	if id.PGVersion != 15 || id.SystemID != 7700000000000000001 || id.StartLSN != 0x2000028 || id.Timeline != 1 ||
		!id.Checksums || id.WALSegmentSize != 1<<20 || id.Limits.MaxConnections != 100 || id.Limits.MaxLocksPerXact != 64 {
		t.Errorf("identity: %+v", id)
	}
	if s.Size.Files != 8 {
		t.Errorf("size: %+v", s.Size)
	}
}

// Each case changes one thing in a good cluster and names what must be noticed.
func TestPreflight(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(snapshottest.Cluster)
		opts    snapshot.Options
		check   string
		outcome snapshot.Outcome
		class   error // of Err, for a refusal
		says    string
	}{
		{
			name:   "no label, was running",
			change: func(c snapshottest.Cluster) { delete(c, "backup_label") },
			check:  "consistency", outcome: snapshot.Refuse, class: snapshot.ErrUnsafe, says: "backup_label is missing",
		},
		{
			name:   "no label, was running, asked for",
			change: func(c snapshottest.Cluster) { delete(c, "backup_label") },
			opts:   snapshot.Options{AssumeCrashConsistent: true},
			check:  "consistency", outcome: snapshot.Warn,
		},
		{
			name: "no label, shut down",
			change: func(c snapshottest.Cluster) {
				delete(c, "backup_label")
				c["global/pg_control"] = snapshottest.Control(1)
			},
			check: "consistency", outcome: snapshot.OK,
		},
		{
			name:   "WAL missing",
			change: func(c snapshottest.Cluster) { delete(c, "pg_wal/000000010000000000000020"); c["pg_wal/x"] = nil },
			check:  "wal", outcome: snapshot.Refuse, class: snapshot.ErrUnsafe, says: "000000010000000000000020",
		},
		{
			name:   "WAL cut short",
			change: func(c snapshottest.Cluster) { c["pg_wal/000000010000000000000020"] = make([]byte, 100) },
			check:  "wal", outcome: snapshot.Refuse, class: snapshot.ErrUnsafe, says: "100 bytes",
		},
		{
			name: "incremental alone",
			change: func(c snapshottest.Cluster) {
				c["backup_label"] = append(c["backup_label"], "INCREMENTAL FROM LSN: 0/1000028\nINCREMENTAL FROM TLI: 1\n"...)
			},
			check: "consistency", outcome: snapshot.Refuse, class: snapshot.ErrUnsupported, says: "incremental",
		},
		{
			name:   "tablespace missing",
			change: func(c snapshottest.Cluster) { c["tablespace_map"] = []byte("16384 /mnt/fast\n") },
			check:  "tablespaces", outcome: snapshot.Refuse, class: snapshot.ErrUnsafe, says: "/mnt/fast",
		},
		{
			name:   "postmaster.pid",
			change: func(c snapshottest.Cluster) { c["postmaster.pid"] = []byte("1\n") },
			check:  "postmaster.pid", outcome: snapshot.Warn,
		},
		{
			name:   "unlogged",
			change: func(c snapshottest.Cluster) { c["base/5/16400_init"] = nil },
			check:  "unlogged tables", outcome: snapshot.Warn,
		},
		{
			name: "preload libraries",
			change: func(c snapshottest.Cluster) {
				c["postgresql.auto.conf"] = []byte("shared_preload_libraries = 'pg_cron'\n")
			},
			check: "preload libraries", outcome: snapshot.Warn,
		},
		{
			name:   "standby.signal",
			change: func(c snapshottest.Cluster) { c["standby.signal"] = nil },
			check:  "recovery files", outcome: snapshot.Info,
		},
		{
			name: "fork of PostgreSQL",
			change: func(c snapshottest.Cluster) {
				c["global/pg_control"][12]++
				snapshottest.Seal(c["global/pg_control"])
			},
			check: "version", outcome: snapshot.Refuse, class: snapshot.ErrUnsupported, says: "fork",
		},
		{
			name: "other page size",
			change: func(c snapshottest.Cluster) {
				c["global/pg_control"][217] = 0x40
				snapshottest.Seal(c["global/pg_control"])
			},
			check: "architecture", outcome: snapshot.Refuse, class: snapshot.ErrUnsupported, says: "16384",
		},
		{
			name: "the manifest's WAL ranges, all there",
			change: func(c snapshottest.Cluster) {
				c["pg_wal/000000020000000000000021"] = make([]byte, 1<<20)
				c["backup_manifest"] = manifestOf(walRange(1, "0/2000028", "0/2100000"), walRange(2, "0/2100000", "0/2100060"))
			},
			check: "wal", outcome: snapshot.OK,
		},
		{
			name: "one of the manifest's WAL ranges missing",
			change: func(c snapshottest.Cluster) {
				c["backup_manifest"] = manifestOf(walRange(1, "0/2000028", "0/2100000"), walRange(2, "0/2100000", "0/2100060"))
			},
			check: "wal", outcome: snapshot.Refuse, class: snapshot.ErrUnsafe, says: "000000020000000000000021",
		},
		{
			name:   "the manifest's WAL range longer than what is there",
			change: func(c snapshottest.Cluster) { c["backup_manifest"] = manifestOf(walRange(1, "0/2000028", "0/2200010")) },
			check:  "wal", outcome: snapshot.Refuse, class: snapshot.ErrUnsafe, says: "000000010000000000000021, 000000010000000000000022",
		},
		{
			name: "no checksums",
			change: func(c snapshottest.Cluster) {
				c["global/pg_control"][252] = 0
				snapshottest.Seal(c["global/pg_control"])
			},
			check: "checksums", outcome: snapshot.Info,
		},
		{
			name: "tablespace moved",
			change: func(c snapshottest.Cluster) {
				c["tablespace_map"] = []byte("16384 /mnt/fast\n")
				c["../tablespaces/16384/PG_15_202209061/5/16400"] = make([]byte, 8192)
			},
			check: "tablespaces", outcome: snapshot.Info,
		},
		{
			name: "manifest cut short",
			change: func(c snapshottest.Cluster) {
				c["backup_manifest"] = []byte("{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n")
			},
			check: "manifest", outcome: snapshot.Refuse, class: snapshot.ErrDamaged, says: "cut short",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := snapshottest.NewCluster()
			c.change(cluster)
			s, err := cluster.Snapshot(t, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if got := snapshottest.Outcomes(s)[c.check]; got != c.outcome {
				t.Errorf("%s: %q, want %q\n%s", c.check, got, c.outcome, snapshottest.Report(s))
			}
			err = s.Err()
			if c.class == nil && err != nil {
				t.Errorf("refused: %v", err)
			}
			if c.class != nil && (!errors.Is(err, c.class) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("Err = %v; want class %v, saying %q", err, c.class, c.says)
			}
		})
	}
}

// manifestOf makes a manifest without files.
func manifestOf(ranges ...string) []byte {
	text := "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n],\n\"WAL-Ranges\": [\n" + strings.Join(ranges, ",\n") + "\n],\n"
	return fmt.Appendf([]byte(text), "\"Manifest-Checksum\": \"%x\"}\n", sha256.Sum256([]byte(text)))
}

func walRange(timeline int, start, end string) string {
	return fmt.Sprintf(`{ "Timeline": %d, "Start-LSN": "%s", "End-LSN": "%s" }`, timeline, start, end)
}

// What cannot even be identified is an error of the right class.
func TestIdentify_Refuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(snapshottest.Cluster)
		class  error
	}{
		{"no PG_VERSION", func(c snapshottest.Cluster) { delete(c, "PG_VERSION") }, snapshot.ErrNotABackup},
		{"PG_VERSION garbage", func(c snapshottest.Cluster) { c["PG_VERSION"] = []byte("x") }, snapshot.ErrDamaged},
		{"too old", func(c snapshottest.Cluster) { c["PG_VERSION"] = []byte("9.6\n") }, snapshot.ErrUnsupported},
		{"too new", func(c snapshottest.Cluster) { c["PG_VERSION"] = []byte("99\n") }, snapshot.ErrUnsupported},
		{"no pg_control", func(c snapshottest.Cluster) { delete(c, "global/pg_control") }, snapshot.ErrDamaged},
		{"pg_control short", func(c snapshottest.Cluster) { c["global/pg_control"] = make([]byte, 10) }, snapshot.ErrDamaged},
		{"pg_control zeros", func(c snapshottest.Cluster) { c["global/pg_control"] = make([]byte, 8192) }, snapshot.ErrDamaged},
		{"pg_control flipped", func(c snapshottest.Cluster) { c["global/pg_control"][40] ^= 1 }, snapshot.ErrDamaged},
		{"pg_control of a fork", func(c snapshottest.Cluster) { c["global/pg_control"][8] ^= 1 }, snapshot.ErrUnsupported},
		{"label garbage", func(c snapshottest.Cluster) { c["backup_label"] = []byte("hello\n") }, snapshot.ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := snapshottest.NewCluster()
			c.change(cluster)
			if _, err := cluster.Snapshot(t, snapshot.Options{}); !errors.Is(err, c.class) {
				t.Errorf("err = %v, want class %v", err, c.class)
			}
		})
	}
}

func TestSettings_FollowIncludesInsideOnly(t *testing.T) {
	c := snapshottest.NewCluster()
	c["postgresql.conf"] = []byte("port = 5433 # comment\ninclude_dir 'conf.d'\ninclude '/etc/postgresql/extra.conf'\ninclude 'postgresql.conf'\n" +
		"archive_command = 'test ! -f ''x'' && cp %p /wal'\nbroken 'no end\n")
	c["conf.d/a.conf"] = []byte("PORT 5434\n")
	c["conf.d/b.txt"] = []byte("port 1\n")
	c["postgresql.auto.conf"] = []byte("work_mem='1GB'\n")
	s, err := c.Snapshot(t, snapshot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]snapshot.Setting{}
	for _, v := range s.Settings {
		got[v.Name] = v
	}
	if got["port"].Value != "5434" || got["port"].File != "conf.d/a.conf" {
		t.Errorf("port: %+v", got["port"])
	}
	if got["archive_command"].Value != "test ! -f 'x' && cp %p /wal" || !strings.Contains(got["archive_command"].Effect, "off") {
		t.Errorf("archive_command: %+v", got["archive_command"])
	}
	if got["work_mem"].File != "postgresql.auto.conf" || len(got) != 3 {
		t.Errorf("settings: %+v", got)
	}
	if !strings.Contains(snapshottest.Report(s), "/etc/postgresql/extra.conf") {
		t.Errorf("the include outside is not named:\n%s", snapshottest.Report(s))
	}
}
