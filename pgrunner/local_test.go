package pgrunner

import (
	"testing"
	"time"
)

func TestLocalPlainBackup(t *testing.T) {
	p := needsLocal(t, 15)
	c := config(t, plain15(t, p), 15)
	t0 := time.Now()
	s := start(t, p, c)
	t.Log("started in", time.Since(t0))
	conn := connect(t, s.DSN("postgres"))
	if got := value(t, conn, stateQuery); got != stateA {
		t.Errorf("state %s, want %s", got, stateA)
	}
	for sql, want := range map[string]string{
		"select pg_is_in_recovery()":               "true",
		"show archive_mode":                        "off",
		"show archive_command":                     "(disabled)",
		"show port":                                "5432",
		"show max_worker_processes":                "8",
		"show wal_log_hints":                       "on",
		"select current_setting('server_version')": s.Version(),
	} {
		if got := value(t, conn, sql); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	t.Log(s.Changes(), s.Warnings(), s.Databases())
	t.Log(s.LogTail(50))
}
