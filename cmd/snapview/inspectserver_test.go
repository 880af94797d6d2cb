package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// What a backup depends on and this host does not have is said before anything
// is opened, with the indexes that it makes suspect.
func TestInspectComparesABackupWithTheServer(t *testing.T) {
	needsPostgres(t, "15")
	t.Setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
	server := snapshottest.StartServer(t)
	for _, sql := range []string{
		"create extension pg_trgm",
		"create table people (id int primary key, name text, code text collate \"C\")",
		"create index on people (name)",
		"create index on people (code)",
		// As from a host with another C library, and with an extension of its own.
		"update pg_database set datcollversion = '2.19' where datname = 'postgres'",
		"update pg_extension set extname = 'timetravel' where extname = 'pg_trgm'",
		"vacuum pg_database", "vacuum pg_extension", "vacuum pg_class", "vacuum pg_index",
	} {
		server.Run("psql", "-Xqc", sql)
	}
	server.Run("pg_basebackup", "-D", "backup", "-X", "stream", "-c", "fast")
	out := must(t, stateDir(t), "inspect", filepath.Join(server.Dir, "backup"))
	for _, want := range []string{
		`(?m)^ok +server +PostgreSQL 15.*built for pages of 8192 bytes as the backup has$`,
		`(?m)^warn +extensions +the server does not have timetravel`,
		`(?m)^warn +collations +database postgres was sorted by version 2.19 of libc, the server has .*; 1 indexes are in that order: public.people_name_idx$`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
}

func TestInspectSaysThatNothingRunsABackup(t *testing.T) {
	needsPostgres(t, "15")
	if _, err := os.Stat("/usr/lib/postgresql/17"); err == nil {
		t.Skip("PostgreSQL 17 is installed here")
	}
	t.Setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
	out := must(t, stateDir(t), "inspect", chain17(t, "fp-full"))
	if !regexp.MustCompile(`(?m)^warn +server +nothing here runs PostgreSQL 17$`).MatchString(out) {
		t.Error(out)
	}
}
