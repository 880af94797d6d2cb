package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/web"
)

// growthOf asks for a session's growth.
func growthOf(t *testing.T, state string, args ...string) web.Growth {
	t.Helper()
	var g web.Growth
	out := must(t, state, append([]string{"--json", "growth"}, args...)...)
	if err := json.Unmarshal([]byte(out), &g); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return g
}

func TestGrowthAddsUpAndAgreesWithDu(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "open", plainBackup(t), "--runner", "local", "--db", "postgres", "--writable")
	url := r.untilReady()["psql"].(string)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	exec1 := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec1(`create table grown as select g, repeat('x', 200) as t from generate_series(1, 20000) g`)
	exec1(`checkpoint`)

	g := growthOf(t, state)
	var causes, files int64
	for _, c := range g.Causes {
		causes += c.Bytes
	}
	for _, f := range g.Files {
		files += f.Bytes
	}
	if causes != g.TotalBytes || files+g.MetadataBytes+g.FreeBytes != g.TotalBytes {
		t.Errorf("total %d, causes %d, files %d + metadata %d + freed %d", g.TotalBytes, causes, files, g.MetadataBytes, g.FreeBytes)
	}
	named := false
	for _, rel := range g.Relations {
		named = named || rel.Schema == "public" && rel.Name == "grown" && rel.Bytes > 4<<20
	}
	if !named {
		t.Errorf("the new table is not among %+v", g.Relations)
	}
	out, err := exec.Command("sh", "-c", `du -cB1 "$1"/stores/*/overlay/layers/*.data | tail -n 1`, "sh", state).Output()
	if err != nil {
		t.Fatal(err)
	}
	onDisk, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	// What runs beside may write a few blocks between the two looks.
	if diff := onDisk - g.TotalBytes; diff < -256<<10 || diff > 256<<10 {
		files, _ := filepath.Glob(state + "/stores/*/overlay/*")
		t.Errorf("growth says %d bytes, du %d, of %v", g.TotalBytes, onDisk, files)
	}

	// Since a checkpoint only what came after it counts.
	id := strings.TrimSpace(must(t, state, "checkpoint", "--name", "before"))
	if list := must(t, state, "checkpoints"); !strings.Contains(list, id) || !strings.Contains(list, "before") {
		t.Errorf("checkpoints: %s", list)
	}
	exec1(`create table small as select 1 as one`)
	exec1(`checkpoint`)
	since := growthOf(t, state, "--since", id)
	if since.TotalBytes == 0 || since.TotalBytes >= g.TotalBytes {
		t.Errorf("%d bytes since the checkpoint, %d in all before it", since.TotalBytes, g.TotalBytes)
	}
}

// fill writes more into a session than its limit allows, and asks the kernel
// to bring it to the disk. It returns a channel that is closed when the kernel
// has: with writes held that is when there is room, or the session is gone.
func fill(t *testing.T, state, url string) <-chan struct{} {
	t.Helper()
	mounts, err := filepath.Glob(filepath.Join(state, "sessions/*/disk/mnt"))
	if err != nil || len(mounts) != 1 {
		t.Fatalf("mounts %v, %v", mounts, err)
	}
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		// Each of these may wait for the hold to end, and fails when the
		// session goes away under it.
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return
		}
		defer conn.Close(ctx)
		for _, sql := range []string{`create table grown as select g, repeat(md5(g::text), 20) as t from generate_series(1, 60000) g`, `checkpoint`} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return
			}
		}
		exec.Command("sync", "-f", mounts[0]).Run() //nolint:errcheck // see above
	}()
	return synced
}

func isHold(held bool) func(map[string]any) bool {
	return func(e map[string]any) bool {
		now, _ := e["held"].(bool)
		return e["event"] == "hold" && now == held
	}
}

func TestLimitHoldsWritesAndRoomLetsThemGoOn(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "open", plainBackup(t), "--runner", "local", "--db", "postgres", "--writable", "--max-overlay", "12MiB")
	url := r.untilReady()["psql"].(string)
	synced := fill(t, state, url)
	r.until("hold", isHold(true))
	select {
	case <-synced:
		t.Error("everything was written although writes are held")
	default:
	}
	// Reads go on while writes wait.
	if got := ask(t, url, `select count(*)::text from ev`); got != "100" {
		t.Errorf("ev has %s rows", got)
	}
	// Whose bytes they are is told while they wait: it says what to give up.
	if g := growthOf(t, state); g.TotalBytes < 4<<20 || g.TotalBytes > 12<<20 {
		t.Errorf("the overlay holds %d bytes while writes are held", g.TotalBytes)
	}
	must(t, state, "limit", "1GiB")
	r.until("the end of the hold", isHold(false))
	<-synced
	if g := growthOf(t, state); g.TotalBytes < 40<<20 {
		t.Errorf("the overlay holds %d bytes after the hold", g.TotalBytes)
	}
}

// TestHeldSessionComesDown closes, and kills, a session whose writes wait: the
// kernel waits for them when it unmounts.
func TestHeldSessionComesDown(t *testing.T) {
	needsPostgres(t, "15")
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			state := stateDir(t)
			r := start(t, state, "open", plainBackup(t), "--runner", "local", "--db", "postgres", "--writable", "--max-overlay", "8MiB")
			synced := fill(t, state, r.untilReady()["psql"].(string))
			r.until("hold", isHold(true))
			if sig == syscall.SIGKILL {
				r.kill()
				must(t, state, "gc")
			} else {
				r.signal(sig)
			}
			r.exit()
			<-synced
			if left := leftBehind(t, state); left != "" {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}
