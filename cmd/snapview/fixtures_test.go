package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// stateQuery is the question whose answers the fixtures' README writes down.
const stateQuery = `select (select count(*) from ev), (select count(*) from acct), (select sum(balance) from acct), ` +
	`(select count(*) from tst), (select max(phase) from ev)`

// stateA is what every PostgreSQL 15 fixture answers to stateQuery.
const stateA = "100,10000,10000000,2000,A"

// A sharedDir is filled once for all tests of a run.
type sharedDir struct {
	once sync.Once
	dir  string
	err  error
}

func (s *sharedDir) get(t *testing.T, fill func(dir string) error) string {
	t.Helper()
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "svfix"); s.err == nil {
			s.err = fill(s.dir)
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.dir
}

var plainFixture, gunzippedFixture, oneTarFixture, chainFixture sharedDir

func shell(script string, args ...string) error {
	out, err := exec.Command("sh", append([]string{"-euc", script, "sh"}, args...)...).CombinedOutput()
	if err != nil {
		return &exec.Error{Name: script, Err: os.NewSyscallError(string(out), err)}
	}
	return nil
}

// plainBackup is pg_basebackup -Fp with a tablespace beside it.
func plainBackup(t *testing.T) string {
	archive := snapshottest.Fixture(t, "pg15/pg15-plain.tar.zst")
	snapshottest.Tool(t, "zstd")
	return filepath.Join(plainFixture.get(t, func(dir string) error {
		return shell(`tar --zstd -C "$1" -xf "$2"`, dir, archive)
	}), "fp")
}

// tarFolder is pg_basebackup -Ft, unzipped.
func tarFolder(t *testing.T) string {
	archive := snapshottest.Fixture(t, "pg15/pg15-tar-gz.tar.zst")
	snapshottest.Tool(t, "zstd")
	return filepath.Join(gunzippedFixture.get(t, func(dir string) error {
		return shell(`tar --zstd -C "$1" -xf "$2"; gunzip "$1"/tar-gz/*.gz`, dir, archive)
	}), "tar-gz")
}

// gzippedFolder is pg_basebackup -Ft -z as it came.
func gzippedFolder(t *testing.T) string {
	return filepath.Join(snapshottest.Unpack(t, "pg15/pg15-tar-gz.tar.zst"), "tar-gz")
}

// oneTar is the plain backup as one tar, the tablespace below its link.
func oneTar(t *testing.T) string {
	fp := plainBackup(t)
	return filepath.Join(oneTarFixture.get(t, func(dir string) error {
		// A tablespace becomes a folder in the place of its link.
		return shell(`tar -C "$1" -cf "$2/base.tar" --exclude=./pg_tblspc/16384 .
			tar -C "$1/../fp_ts1" --transform 's,^\./,./pg_tblspc/16384/,' -rf "$2/base.tar" .`, fp, dir)
	}), "base.tar")
}

// chain17 is one of the backups of PostgreSQL 17's fixture: fp-full, fp-incr1,
// fp-incr2.
func chain17(t *testing.T, name string) string {
	archive := snapshottest.Fixture(t, "pg17/pg17-incr-chain.tar.zst")
	snapshottest.Tool(t, "zstd")
	return filepath.Join(chainFixture.get(t, func(dir string) error {
		return shell(`tar --zstd -C "$1" -xf "$2"`, dir, archive)
	}), name)
}

// lastLine is the row of an answer in CSV.
func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}
