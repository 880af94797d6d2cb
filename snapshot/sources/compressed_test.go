package sources_test

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/snapshot/sources"
)

// compressors are real programs, with the options that pg_basebackup's output
// corresponds to.
var compressors = map[string][]string{
	"gzip":  {"gzip", "-1"},
	"lz4":   {"lz4", "-q", "-BD"}, // linked blocks
	"zstd":  {"zstd", "-q", "-3"},
	"bzip2": {"bzip2", "-1"},
	"xz":    {"xz", "-0"},
}

// compress writes file compressed by the program of that name and returns the
// new file's path, which tells nothing of its kind.
func compress(t testing.TB, name, file string) string {
	t.Helper()
	program := compressors[name]
	snapshottest.Tool(t, program[0])
	out := filepath.Join(t.TempDir(), "backup")
	snapshottest.Run(t, "/", "sh", append([]string{"-ec", `out=$1 in=$2; shift 2; "$@" -c <"$in" >"$out"`, "sh", out, file}, program...)...)
	return out
}

// oneTar makes a tar of the plain fixture and returns what must be in it.
func oneTar(t testing.TB) (file string, want map[string]string) {
	t.Helper()
	dir := snapshottest.Unpack(t, "pg15/pg15-plain.tar.zst")
	want = snapshottest.TreeOf(t, filepath.Join(dir, "fp"), map[uint32]string{16384: filepath.Join(dir, "fp_ts1")})
	file = filepath.Join(t.TempDir(), "all.tar")
	snapshottest.Run(t, dir, snapshottest.Tool(t, "tar"), "-cf", file, "fp", "fp_ts1")
	return file, want
}

func TestCompressed_Conforms(t *testing.T) {
	file, want := oneTar(t)
	for name := range compressors {
		t.Run(name, func(t *testing.T) {
			packed := compress(t, name, file)
			opts := snapshot.Options{CacheDir: t.TempDir()}
			var last snapshot.Progress
			opts.Progress = func(p snapshot.Progress) { last = p }
			first := open(t, packed, opts)
			must(t, first.Close())
			if last.Done == 0 || last.Done != last.Total || last.Object != "backup" {
				t.Errorf("the last progress told was %+v", last)
			}
			// from here on the cache serves, and the file's data is not read again
			last = snapshot.Progress{}
			conforms(t, packed, snapshot.KindCompressed, opts, want)
			again := open(t, packed, opts)
			defer again.Close()
			if n := again.BytesRead(); n > 1<<20 || last.Total != 0 {
				t.Errorf("the second open read %d bytes of the backup; progress %+v", n, last)
			}
		})
	}
}

// The folder as pg_basebackup -Ft -z wrote it.
func TestCompressed_Folder(t *testing.T) {
	dir := filepath.Join(snapshottest.Unpack(t, "pg15/pg15-tar-gz.tar.zst"), "tar-gz")
	snapshottest.Untouched(t, dir)
	opts := snapshot.Options{CacheDir: t.TempDir(), CacheLimit: 1}
	small := open(t, dir, opts)
	if !strings.Contains(strings.Join(small.Warnings, " "), "cache may hold") {
		t.Errorf("warnings %q of a cache that is too small", small.Warnings)
	}
	must(t, small.Close())
	opts.CacheLimit = 0
	plain := open(t, gunzipped(t), snapshot.Options{})
	defer plain.Close()
	conforms(t, dir, snapshot.KindCompressed, opts, snapshottest.Hashes(t, plain.Tree))
}

// smallTar makes a tar of a made-up cluster, for what takes long.
func smallTar(t testing.TB) string {
	t.Helper()
	c, dir := snapshottest.NewCluster(), t.TempDir()
	table := make([]byte, 100*8192)
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range table {
		table[i] = byte(rnd.IntN(32))
	}
	c["base/5/16400"] = table
	writeCluster(t, c, filepath.Join(dir, "pgdata"))
	file := filepath.Join(dir, "all.tar")
	snapshottest.Run(t, dir, snapshottest.Tool(t, "tar"), "-cf", file, "pgdata")
	return file
}

// Damage is an error that leaves nothing in the cache.
func TestCompressed_Damaged(t *testing.T) {
	file := smallTar(t)
	for name := range compressors {
		t.Run(name, func(t *testing.T) {
			packed := compress(t, name, file)
			whole, err := os.ReadFile(packed)
			must(t, err)
			cacheDir := t.TempDir()
			refuses := func(what string) {
				t.Helper()
				if s, err := sources.Open(t.Context(), packed, snapshot.Options{CacheDir: cacheDir}); err == nil {
					must(t, s.Close())
					t.Errorf("%s: it opens", what)
				} else if !errors.Is(err, snapshot.ErrDamaged) {
					t.Errorf("%s: %v", what, err)
				}
				list, err := os.ReadDir(cacheDir)
				must(t, err)
				if len(list) != 0 {
					t.Errorf("%s: left in the cache: %v", what, list)
				}
			}
			must(t, os.WriteFile(packed, whole[:len(whole)*2/3], 0o600))
			refuses("cut short")
			flipped := append([]byte(nil), whole...)
			flipped[len(flipped)/2] ^= 0x40
			must(t, os.WriteFile(packed, flipped, 0o600))
			refuses("one bit flipped")
			if name == "gzip" || name == "lz4" || name == "zstd" { // the formats that we read ourselves
				must(t, os.WriteFile(packed, append(append([]byte(nil), whole...), "and more"...), 0o600))
				refuses("with a tail")
			}
		})
	}
}

// A damaged entry of the cache is made again, and one of another file is not
// taken.
func TestCompressed_DamagedCache(t *testing.T) {
	file, want := oneTar(t)
	packed := compress(t, "gzip", file)
	opts := snapshot.Options{CacheDir: t.TempDir()}
	must(t, open(t, packed, opts).Close())
	entries, err := filepath.Glob(filepath.Join(opts.CacheDir, "*"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	whole, err := os.ReadFile(entries[0])
	must(t, err)
	for what, b := range map[string][]byte{
		"cut short":    whole[:len(whole)-100],
		"empty":        nil,
		"another file": append(append(append([]byte(nil), whole[:8]...), make([]byte, 32)...), whole[40:]...),
	} {
		must(t, os.WriteFile(entries[0], b, 0o600))
		s := open(t, packed, opts)
		snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
		must(t, s.Close())
		if again, err := os.ReadFile(entries[0]); err != nil || len(again) != len(whole) {
			t.Errorf("%s: the entry was not made again: %d bytes, %v", what, len(again), err)
		}
	}
}

// An entry that was made of another file is not taken, whole as it may be.
func TestCompressed_AnothersCache(t *testing.T) {
	file, want := oneTar(t)
	packed, other := compress(t, "gzip", file), filepath.Join(t.TempDir(), "other")
	snapshottest.Run(t, "/", "sh", "-ec", `gzip -9 <"$1" >"$2"`, "sh", file, other)
	entry := func(dir string) string {
		list, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(list) != 1 {
			t.Fatalf("%v, %v", list, err)
		}
		return list[0]
	}
	opts, otherOpts := snapshot.Options{CacheDir: t.TempDir()}, snapshot.Options{CacheDir: t.TempDir()}
	must(t, open(t, packed, opts).Close())
	must(t, open(t, other, otherOpts).Close())
	b, err := os.ReadFile(entry(otherOpts.CacheDir))
	must(t, err)
	must(t, os.WriteFile(entry(opts.CacheDir), b, 0o600))
	s := open(t, packed, opts)
	defer s.Close()
	snapshottest.Compare(t, snapshottest.Hashes(t, s.Tree), want)
	if x := s.Indexes(); len(x) != 1 || !x[0].Made {
		t.Errorf("%+v: another file's index was taken", x)
	}
}

// A file that is read in place and damaged after it was indexed: what is read
// of it is an error that names it, never other data.
func TestCompressed_DamagedAfterwards(t *testing.T) {
	file, _ := oneTar(t)
	for _, name := range []string{"gzip", "lz4", "zstd"} {
		t.Run(name, func(t *testing.T) {
			packed := compress(t, name, file)
			opts := snapshot.Options{CacheDir: t.TempDir()}
			s := open(t, packed, opts)
			defer s.Close()
			f, err := os.OpenFile(packed, os.O_WRONLY, 0)
			must(t, err)
			info, err := f.Stat()
			must(t, err)
			_, err = f.WriteAt(make([]byte, 4096), info.Size()/2)
			must(t, errors.Join(err, f.Close()))
			var bad error
			err = fs.WalkDir(s.Tree, ".", func(name string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					if _, err := fs.ReadFile(s.Tree, name); err != nil {
						bad = err
					}
				}
				return err
			})
			must(t, err)
			if !errors.Is(bad, snapshot.ErrDamaged) || !strings.Contains(bad.Error(), "backup was changed or damaged") {
				t.Errorf("err = %v", bad)
			}
		})
	}
}

func TestCompressed_Cancelled(t *testing.T) {
	file, _ := oneTar(t)
	packed := compress(t, "gzip", file)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sources.Open(ctx, packed, snapshot.Options{CacheDir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestCompressed_NoTarInside(t *testing.T) {
	text := filepath.Join(t.TempDir(), "x")
	must(t, os.WriteFile(text, make([]byte, 100_000), 0o600))
	for name := range compressors {
		if _, err := sources.Open(t.Context(), compress(t, name, text), snapshot.Options{CacheDir: t.TempDir()}); !errors.Is(err, snapshot.ErrNotABackup) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
