package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/snapshot/snapshottest"
	"github.com/snapview/snapview/web"
)

// ask runs a query that returns one value through a session's psql endpoint.
func ask(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var answer string
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

func TestOpenServesUntilItIsInterrupted(t *testing.T) {
	needsPostgres(t, "15")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			state, ref := stateDir(t), plainBackup(t)
			snapshottest.Untouched(t, filepath.Dir(ref))
			r := start(t, state, "open", ref, "--runner", "local", "--db", "postgres")
			ready := r.untilReady()
			if got := ask(t, ready["psql"].(string), `select count(*)::text from ev`); got != "100" {
				t.Errorf("ev has %s rows, want 100", got)
			}
			list := must(t, state, "sessions")
			if !strings.Contains(list, ready["id"].(string)) || !strings.Contains(list, "ready") {
				t.Errorf("sessions does not list it as ready:\n%s", list)
			}
			r.signal(sig)
			if code := r.exit(); code != exitInterrupted {
				t.Errorf("exit code %d after %v, want %d\n%s", code, sig, exitInterrupted, r.stderr.String())
			}
			if left := leftBehind(t, state); left != "" {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

func TestCloseTearsASessionDownFromElsewhere(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "open", plainBackup(t), "--runner", "local")
	r.untilReady()
	must(t, state, "close")
	if left := leftBehind(t, state); left != "" {
		t.Errorf("close returned before the end; left: %s", left)
	}
	if code := r.exit(); code != exitOK {
		t.Errorf("open ended with exit code %d after close, want 0\n%s", code, r.stderr.String())
	}
	if _, _, code := snapview(t, state, "close"); code != exitNoSession {
		t.Errorf("a second close ended with %d, want %d", code, exitNoSession)
	}
}

// linkWorksOnce takes a new link to the page of the only session, and follows it
// with a browser, and with another one.
func linkWorksOnce(t *testing.T, state, id string) {
	t.Helper()
	socket, err := os.Stat(filepath.Join(state, "sessions", id, "control.sock"))
	if err != nil || socket.Mode().Perm() != 0o600 || socket.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		t.Errorf("who may open the control socket: %v, %v", socket, err)
	}
	var made struct{ Event, ID, URL string }
	if err := json.Unmarshal([]byte(must(t, state, "link", "--json")), &made); err != nil || made.Event != "link" || made.ID != id {
		t.Fatalf("link: %+v, %v", made, err)
	}
	var info web.Info
	login(t, made.URL).call("GET", "/sessions/"+id, nil, http.StatusOK, &info)
	if info.ID != id {
		t.Errorf("the link shows session %q", info.ID)
	}
	if again, err := http.Get(made.URL); err != nil {
		t.Error(err)
	} else if again.Body.Close(); again.StatusCode != http.StatusUnauthorized {
		t.Errorf("the link lets a second browser in: %s", again.Status)
	}
	if other := strings.TrimSpace(must(t, state, "link", id[:5])); other == made.URL || !strings.HasPrefix(other, "http://127.0.0.1:") {
		t.Errorf("the second link: %s", other)
	}
	if _, errs, code := snapview(t, state, "link", "nothere"); code != exitNoSession || !strings.Contains(errs, "nothere") {
		t.Errorf("a link to no session: exit code %d, %s", code, errs)
	}
}

func TestSessionEndsWithItsTimeToLive(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "open", plainBackup(t), "--runner", "local", "--ttl", "1h", "--db", "nope")
	ready := r.untilReady()
	id := ready["id"].(string)
	// A name that the cluster does not have is of no use to psql.
	if url, _ := ready["psql"].(string); ready["database"] != "postgres" || !strings.HasSuffix(url, "/postgres") {
		t.Errorf("opened with --db nope: database %v, psql %s", ready["database"], url)
	}
	linkWorksOnce(t, state, id)
	// The end is moved away, and to a second from now.
	var kept, listed struct {
		Event, ID string
		Expires   time.Time
	}
	for _, each := range []struct {
		time string
		left time.Duration
	}{{"36h", 35 * time.Hour}, {"0", -1}, {"1s", 0}} {
		kept.Expires, listed.Expires = time.Time{}, time.Time{}
		if err := json.Unmarshal([]byte(must(t, state, "keep", each.time, "--json")), &kept); err != nil {
			t.Fatal(err)
		}
		if kept.ID != id || kept.Event != "kept" || kept.Expires.IsZero() != (each.left < 0) || each.left > 0 && time.Until(kept.Expires) < each.left {
			t.Errorf("keep %s: %+v", each.time, kept)
		}
		if each.left <= 0 {
			continue // it may be gone
		}
		if err := json.Unmarshal([]byte(must(t, state, "sessions", "--json")), &listed); err != nil || !listed.Expires.Equal(kept.Expires) {
			t.Errorf("keep %s: the list says %v, not %v (%v)", each.time, listed.Expires, kept.Expires, err)
		}
		if _, _, code := snapview(t, state, "keep", id, "soon"); code != exitUsage {
			t.Errorf("keep soon: exit code %d", code)
		}
	}
	e := r.until("closed", func(e map[string]any) bool { return e["state"] == "closed" })
	if message, _ := e["message"].(string); !strings.Contains(message, "time to live") {
		t.Errorf("it closed because %q", message)
	}
	if code := r.exit(); code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
}

// postmaster finds the server of a state directory by its data directory.
func postmaster(t *testing.T, state string) int {
	t.Helper()
	matches, err := filepath.Glob(filepath.Join(state, "sessions/*/disk/mnt/data/postmaster.pid"))
	if err != nil || len(matches) != 1 {
		t.Fatalf("%d postmasters, %v", len(matches), err)
	}
	// The pid in the file is that of its own namespace: look for the process
	// whose working directory is the mount.
	procs, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.Stat(filepath.Dir(matches[0]))
	if err != nil {
		t.Fatal(err)
	}
	for _, cwd := range procs {
		have, err := os.Stat(cwd)
		if err != nil || !os.SameFile(want, have) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(cwd)))
		if err != nil {
			continue
		}
		name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if err == nil && !strings.HasPrefix(string(name), "postgres: ") {
			return pid
		}
	}
	t.Fatal("no process has the data directory as its own")
	return 0
}

func TestServerThatDiesEndsTheSession(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "open", plainBackup(t), "--runner", "local")
	r.untilReady()
	if err := syscall.Kill(postmaster(t, state), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := r.exit(); code == exitOK {
		t.Errorf("exit code 0 although PostgreSQL was killed\n%s", r.stderr.String())
	}
	if left := leftBehind(t, state); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func TestKilledSnapviewIsCleanedUpByGC(t *testing.T) {
	needsPostgres(t, "15")
	// From before the first phase to long after the last.
	for _, phase := range []string{"identify", "lay out", "attach", "recover", "ready"} {
		t.Run(phase, func(t *testing.T) {
			state, ref := stateDir(t), plainBackup(t)
			snapshottest.Untouched(t, filepath.Dir(ref))
			r := start(t, state, "open", ref, "--runner", "local")
			r.until(phase, func(e map[string]any) bool {
				return e["phase"] == phase || phase == "ready" && e["event"] == "ready"
			})
			r.kill()
			out := must(t, state, "gc")
			r.exit()
			if !strings.Contains(out, "reclaimed") {
				t.Errorf("gc says %q", out)
			}
			if left := leftBehind(t, state); left != "" {
				t.Errorf("gc left: %s", left)
			}
			if _, errs, code := snapview(t, state, "gc"); code != 0 || !strings.Contains(errs, "nothing was left") {
				t.Errorf("a second gc ended with %d: %s", code, errs)
			}
		})
	}
}

// The kernel has writes under way for a disk whose server is no more.
func TestSnapviewKilledUnderLoadIsCleanedUpByGC(t *testing.T) {
	needsPostgres(t, "15")
	state, ref := stateDir(t), plainBackup(t)
	snapshottest.Untouched(t, filepath.Dir(ref))
	r := start(t, state, "open", ref, "--runner", "local", "--db", "postgres", "--writable")
	url := r.untilReady()["psql"].(string)
	load, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer load.Close(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := load.Exec(t.Context(), `create table t as select generate_series(1, 100000000), repeat('x', 500)`)
		ended <- err
	}()
	const size = `select pg_database_size('postgres')::text`
	for before, deadline := ask(t, url, size), time.Now().Add(patience); ask(t, url, size) == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the database does not grow")
		}
	}
	r.kill()
	must(t, state, "gc")
	r.exit()
	if err := <-ended; err == nil {
		t.Error("the statement succeeded")
	}
	if left := leftBehind(t, state); left != "" {
		t.Errorf("gc left: %s", left)
	}
}

func TestGCLeavesTheLivingAndTheOthersAlone(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "open", plainBackup(t), "--runner", "local")
	ready := r.untilReady()

	// A loop device of somebody else's.
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	loop := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", loop).Run() })

	must(t, state, "gc")
	if got := ask(t, ready["psql"].(string), `select 'alive'`); got != "alive" {
		t.Error("the session does not answer after gc")
	}
	if out, err := exec.Command("losetup", loop).Output(); err != nil || !strings.Contains(string(out), file) {
		t.Errorf("the other's loop device is gone: %s %v", out, err)
	}
}

func TestInterruptedStartLeavesNothing(t *testing.T) {
	needsPostgres(t, "15")
	for _, phase := range []string{"identify", "lay out", "attach", "recover"} {
		t.Run(phase, func(t *testing.T) {
			state := stateDir(t)
			r := start(t, state, "open", plainBackup(t), "--runner", "local")
			r.until(phase, func(e map[string]any) bool { return e["phase"] == phase })
			r.signal(syscall.SIGINT)
			if code := r.exit(); code != exitInterrupted {
				t.Errorf("exit code %d, want %d\n%s", code, exitInterrupted, r.stderr.String())
			}
			if left := leftBehind(t, state); left != "" {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

func TestIdleSessionEnds(t *testing.T) {
	needsPostgres(t, "15")
	r := start(t, stateDir(t), "open", plainBackup(t), "--runner", "local", "--idle", "2s")
	began := time.Now()
	r.untilReady()
	r.until("closed", func(e map[string]any) bool { return e["state"] == "closed" })
	if time.Since(began) < 2*time.Second {
		t.Error("it ended before it was idle for long enough")
	}
	r.exit()
}

func TestReaderThatGoesAwayDoesNotStrandTheMount(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	cmd := command(state, "--json", "open", plainBackup(t), "--runner", "local")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	out.Close()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if list := must(t, state, "sessions"); strings.Contains(list, " ready ") {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("it does not become ready:\n%s", list)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupted {
		t.Errorf("it ended with %v", err)
	}
	if left := leftBehind(t, state); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
