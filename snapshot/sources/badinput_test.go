package sources_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/klosettest"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/sources"
)

// A specimen is a good backup of one kind that a test damages.
type specimen struct {
	ref   string
	files []string // those that are damaged, one at a time
	opts  snapshot.Options

	// sealed: all that is read of it is checked, so that damage is never
	// other data. Elsewhere PostgreSQL's own checksums of pages have to tell.
	sealed bool
}

// specimens make one of each kind that there is.
var specimens = map[string]func(t *testing.T) specimen{
	"directory": func(t *testing.T) specimen {
		dir := smallCluster(t)
		return specimen{ref: dir, files: []string{
			dir + "/PG_VERSION", dir + "/global/pg_control", dir + "/backup_label", dir + "/backup_manifest", dir + "/base/5/16384",
			dir + "/pg_wal/000000010000000000000020", dir + "/postgresql.conf",
		}}
	},
	"tar": func(t *testing.T) specimen { return packed(t, "") },
	"tar folder": func(t *testing.T) specimen {
		at, dir := t.TempDir(), smallCluster(t)
		tar := snapshottest.Tool(t, "tar")
		snapshottest.Run(t, dir, tar, "--sort=name", "--exclude=./pg_wal/*", "--exclude=./backup_manifest", "-cf", at+"/base.tar", ".")
		snapshottest.Run(t, dir+"/pg_wal", tar, "--sort=name", "-cf", at+"/pg_wal.tar", ".")
		must(t, os.Rename(dir+"/backup_manifest", at+"/backup_manifest"))
		return specimen{ref: at, files: []string{at + "/base.tar", at + "/pg_wal.tar", at + "/backup_manifest"}}
	},
	"gzip":  func(t *testing.T) specimen { return packed(t, "gzip") },
	"lz4":   func(t *testing.T) specimen { return packed(t, "lz4") },
	"zstd":  func(t *testing.T) specimen { return packed(t, "zstd") },
	"bzip2": func(t *testing.T) specimen { return packed(t, "bzip2") },
	"xz":    func(t *testing.T) specimen { return packed(t, "xz") },
	"incremental chain": func(t *testing.T) specimen {
		dir := snapshottest.Unpack(t, "pg17/pg17-incr-chain.tar.zst")
		return specimen{ref: filepath.Join(dir, "fp-incr2"), files: []string{
			dir + "/fp-full/backup_label", dir + "/fp-incr1/global/pg_control", dir + "/fp-incr2/base/5/INCREMENTAL.16385",
		}}
	},
	"ptar":           func(t *testing.T) specimen { return ptar(t, "") },
	"encrypted ptar": func(t *testing.T) specimen { return ptar(t, "sesame") },
	"pgBackRest": func(t *testing.T) specimen {
		dir, label, _ := pgBackRest(t)
		repo := filepath.Join(dir, "zst")
		at := filepath.Join(repo, "backup/main", label)
		must(t, os.Remove(at+"/backup.manifest.copy"))
		must(t, os.Remove(repo+"/backup/main/backup.info.copy"))
		bundles, err := filepath.Glob(at + "/bundle/*")
		if err != nil || len(bundles) == 0 {
			t.Fatalf("%v, %v", bundles, err)
		}
		return specimen{ref: repo + "#" + label, sealed: true, files: append(bundles[:1], at+"/backup.manifest", repo+"/backup/main/backup.info")}
	},
	"Barman": func(t *testing.T) specimen {
		home := t.TempDir()
		archive, err := filepath.Abs("../barman/testdata/server.tar.zst")
		must(t, err)
		snapshottest.Run(t, home, snapshottest.Tool(t, "tar"), "--zstd", "-xf", archive)
		backups, err := filepath.Glob(home + "/pg/base/*")
		if err != nil || len(backups) == 0 {
			t.Fatalf("%v, %v", backups, err)
		}
		last := backups[len(backups)-1]
		return specimen{ref: last, files: []string{last + "/backup.info", last + "/data/global/pg_control"}}
	},
	"disk image": func(t *testing.T) specimen {
		image := filepath.Join(t.TempDir(), "disk")
		snapshottest.Run(t, "/", snapshottest.Tool(t, "mke2fs"), "-q", "-F", "-t", "ext4", "-d", filepath.Dir(smallCluster(t)), image, "16M")
		return specimen{ref: image, files: []string{image}}
	},
	"qcow2": func(t *testing.T) specimen {
		raw, image := filepath.Join(t.TempDir(), "raw"), filepath.Join(t.TempDir(), "disk.qcow2")
		snapshottest.Run(t, "/", snapshottest.Tool(t, "mke2fs"), "-q", "-F", "-t", "ext4", "-d", filepath.Dir(smallCluster(t)), raw, "16M")
		snapshottest.Run(t, "/", snapshottest.Tool(t, "qemu-img"), "convert", "-q", "-c", "-O", "qcow2", raw, image)
		return specimen{ref: image, files: []string{image}}
	},
}

// smallCluster writes a made-up cluster with a table and a manifest to disk.
func smallCluster(t testing.TB) string {
	t.Helper()
	return cluster(t, func(c snapshottest.Cluster) {
		table := make([]byte, 20*8192)
		rnd := rand.New(rand.NewPCG(1, 1))
		for i := range table {
			table[i] = byte(rnd.IntN(64))
		}
		c["base/5/16384"] = table
		var list []string
		for _, name := range slices.Sorted(maps.Keys(c)) {
			if b := c[name]; !strings.HasPrefix(name, "pg_wal/") {
				list = append(list, fmt.Sprintf(`{ "Path": %q, "Size": %d, "Last-Modified": "2026-11-21 06:31:58 GMT", "Checksum-Algorithm": "SHA256", "Checksum": "%x" }`, name, len(b), sha256.Sum256(b)))
			}
		}
		text := "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n" + strings.Join(list, ",\n") +
			"\n],\n\"WAL-Ranges\": [\n{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }\n],\n"
		c["backup_manifest"] = fmt.Appendf([]byte(text), "\"Manifest-Checksum\": \"%x\"}\n", sha256.Sum256([]byte(text)))
	})
}

// packed is a cluster in one tar, compressed by a program or not.
func packed(t *testing.T, program string) specimen {
	t.Helper()
	file := filepath.Join(t.TempDir(), "all.tar")
	snapshottest.Run(t, smallCluster(t), snapshottest.Tool(t, "tar"), "--sort=name", "--mtime=@1790000000", "-cf", file, ".")
	if program != "" {
		file = compress(t, program, file)
	}
	return specimen{ref: file, files: []string{file}, sealed: program != ""}
}

// ptar is a cluster in a Kloset of one file.
func ptar(t *testing.T, passphrase string) specimen {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.ptar")
	list, err := klosettest.Dir(smallCluster(t), "/pg")
	must(t, err)
	_, err = klosettest.Ptar(file, klosettest.Options{Passphrase: passphrase}, klosettest.Snapshot{Time: time.Now(), Files: list})
	must(t, err)
	return specimen{ref: file, files: []string{file}, sealed: true, opts: snapshot.Options{
		Passphrase: func(string) ([]byte, error) { return []byte(passphrase), nil },
	}}
}

// A damage is done to one file.
type damage struct {
	name string
	do   func(rnd *rand.Rand, whole []byte) []byte
}

var damages = []damage{
	{"empty", func(*rand.Rand, []byte) []byte { return nil }},
	{"cut after its head", func(_ *rand.Rand, b []byte) []byte { return b[:min(len(b), 100)] }},
	{"cut in two", func(_ *rand.Rand, b []byte) []byte { return b[:len(b)/2] }},
	{"cut by a byte", func(_ *rand.Rand, b []byte) []byte { return b[:len(b)-1] }},
	{"a bit flipped at its head", func(rnd *rand.Rand, b []byte) []byte { return flip(rnd, b, min(64, len(b))) }},
	{"a bit flipped", func(rnd *rand.Rand, b []byte) []byte { return flip(rnd, b, len(b)) }},
	{"a bit flipped, again", func(rnd *rand.Rand, b []byte) []byte { return flip(rnd, b, len(b)) }},
	{"4 KiB lost", func(rnd *rand.Rand, b []byte) []byte {
		at := rnd.IntN(len(b))
		clear(b[at:min(len(b), at+min(4096, len(b)/4+1))])
		return b
	}},
	{"nothing but ones", func(_ *rand.Rand, b []byte) []byte { return bytes.Repeat([]byte{0xff}, len(b)) }},
	{"something else", func(*rand.Rand, []byte) []byte { return []byte("-----BEGIN PGP MESSAGE-----\n") }},
}

func flip(rnd *rand.Rand, b []byte, within int) []byte {
	b[rnd.IntN(within)] ^= 1 << rnd.IntN(8)
	return b
}

// classes are those that an error from a backup belongs to.
var classes = []error{snapshot.ErrDamaged, snapshot.ErrNotABackup, snapshot.ErrUnsupported, snapshot.ErrUnsafe, snapshot.ErrPassphrase}

func classed(err error) bool {
	for _, class := range classes {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// readWhole opens a backup and reads every file of it. It returns their hashes,
// and the errors of opening it, of its preflight, and of reading.
func readWhole(t *testing.T, s specimen) (sums map[string]string, errs []error) {
	t.Helper()
	snap, err := sources.Open(t.Context(), s.ref, s.opts)
	if err != nil {
		return nil, []error{err}
	}
	defer func() { must(t, snap.Close()) }()
	if err := snap.Err(); err != nil {
		errs = append(errs, err)
	}
	sums = map[string]string{}
	must(t, fs.WalkDir(snap.Tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := fs.ReadFile(snap.Tree, name)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		sum := sha256.Sum256(b)
		sums[name] = hex.EncodeToString(sum[:])
		return nil
	}))
	return sums, errs
}

// badInputSeed chooses which bits are flipped.
var badInputSeed = flag.Uint64("bad-input-seed", 7, "which bits TestBadInput flips")

// mostMemory is how much more of it all of the damaged backups together may make
// the process ask the kernel for: no size in them is believed.
const mostMemory = 512 << 20

// Whatever is wrong with whatever file of a backup: an error of a class that
// names the backup or the object, or a part that nobody reads. Never other data
// where the format has checksums, and never memory for what a header claims.
func TestBadInput(t *testing.T) {
	for kind, made := range specimens {
		t.Run(kind, func(t *testing.T) {
			s := made(t)
			s.opts.CacheDir = t.TempDir()
			want, errs := readWhole(t, s)
			if len(errs) > 0 {
				t.Fatalf("it is not good to begin with: %v", errs)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			noticed := 0
			for _, file := range s.files {
				whole, err := os.ReadFile(file)
				must(t, err)
				rnd := rand.New(rand.NewPCG(*badInputSeed, uint64(len(whole))))
				for _, d := range damages {
					must(t, os.WriteFile(file, d.do(rnd, bytes.Clone(whole)), 0o600))
					what := filepath.Base(file) + ", " + d.name
					sums, errs := readWhole(t, s)
					for _, err := range errs {
						if !classed(err) {
							t.Errorf("%s: an error of no class: %v", what, err)
						}
						if text := err.Error(); !strings.Contains(text, filepath.Base(file)) && !strings.Contains(text, filepath.Dir(s.ref)) && !strings.Contains(text, filepath.Base(s.ref)) {
							t.Errorf("%s: no object is named: %v", what, err)
						}
					}
					if len(errs) > 0 {
						noticed++
					}
					for name, sum := range sums {
						if s.sealed && sum != want[name] {
							t.Errorf("%s: %s shows other data", what, name)
						}
					}
				}
				must(t, os.WriteFile(file, whole, 0o600))
			}
			if least := len(s.files) * len(damages) * 3 / 10; noticed < least {
				t.Errorf("of %d damages %d were noticed", len(s.files)*len(damages), noticed)
			}
			runtime.ReadMemStats(&after)
			if grown := int64(after.Sys - before.Sys); grown > mostMemory {
				t.Errorf("the process grew by %d MiB", grown>>20)
			}
			t.Logf("of %d damages %d were noticed", len(s.files)*len(damages), noticed)
			if _, errs := readWhole(t, s); len(errs) > 0 {
				t.Errorf("whole again, it does not open: %v", errs)
			}
		})
	}
}
