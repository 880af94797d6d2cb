package pgrunner

import (
	"strings"
	"testing"
)

// Messages as PostgreSQL 15.20 and 13 write them.
func TestFailure(t *testing.T) {
	missingWAL := strings.Split(`2026-11-21 12:15:29.234 UTC [8] LOG:  starting backup recovery
2026-11-21 12:15:29.234 UTC [8] LOG:  invalid checkpoint record
2026-11-21 12:15:29.234 UTC [8] FATAL:  could not locate required checkpoint record
2026-11-21 12:15:29.234 UTC [8] HINT:  If you are restoring from a backup, touch "/data/recovery.signal" and add required recovery options.
	If you are not restoring from a backup, try removing the file "/data/backup_label".
2026-11-21 12:15:29.235 UTC [1] LOG:  startup process (PID 8) exited with exit code 1`, "\n")
	e := failure("recover", missingWAL, "exit status 1")
	if e.Cause != "FATAL: could not locate required checkpoint record" || e.Advice == "" {
		t.Errorf("cause %q, advice %q", e.Cause, e.Advice)
	}
	if e.Hint != "" {
		t.Errorf("passes on the hint to make a corrupt database: %q", e.Hint)
	}
	if !strings.Contains(e.Advice, "is missing") {
		t.Errorf("advice for a segment that is not there: %q", e.Advice)
	}
	damaged := append([]string{"2026-11-21 12:15:29.234 UTC [8] LOG:  invalid magic number 460B in log segment 000000010000000000000004, offset 0"}, missingWAL...)
	if e = failure("recover", damaged, "exit status 1"); !strings.Contains(e.Advice, "is damaged") || e.Hint != "" {
		t.Errorf("advice for a damaged segment: %q, hint %q", e.Advice, e.Hint)
	}

	e = failure("serve", nil, "exit status 127: sh: postgres: not found")
	if !strings.Contains(e.Error(), "not found") {
		t.Error(e)
	}

	low := strings.Split(`2026-11-21 12:15:29.234 UTC [8] FATAL:  recovery aborted because of insufficient parameter settings
2026-11-21 12:15:29.234 UTC [8] DETAIL:  max_connections = 20 is a lower setting than on the primary server, where its value was 300.
2026-11-21 12:15:29.234 UTC [8] HINT:  You can restart the server after making the necessary configuration changes.`, "\n")
	e = failure("serve", low, "exit status 1")
	l, ok := raise(Limits{MaxConnections: 20}, e)
	if !ok || l.MaxConnections != 300 || !strings.HasPrefix(e.Detail, "max_connections = 20") || e.Hint == "" {
		t.Errorf("%+v, %v, %+v", l, ok, e)
	}
	if _, ok := raise(l, e); ok {
		t.Error("would try the same again, for ever")
	}
	old := []string{"FATAL:  hot standby is not possible because max_worker_processes = 2 is a lower setting than on the master server (its value was 16)"}
	if l, ok := raise(Limits{}, failure("serve", old, "")); !ok || l.MaxWorkerProcesses != 16 {
		t.Errorf("%+v, %v", l, ok)
	}
}

func FuzzFailure(f *testing.F) {
	f.Add("2026-11-21 12:15:29.234 UTC [8] FATAL:  x\nDETAIL:  max_connections = 1 is a lower setting than on the primary server, where its value was 99999999999999999999.")
	f.Fuzz(func(t *testing.T, log string) {
		e := failure("serve", strings.Split(log, "\n"), "exit")
		l := Limits{}
		for n := 0; ; n++ {
			next, ok := raise(l, e)
			if !ok {
				break
			}
			if n > 100 {
				t.Fatalf("raises without end: %+v", next)
			}
			l = next
		}
		_ = e.Error()
	})
}
