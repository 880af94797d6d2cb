package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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
	out, err := exec.Command("sh", "-c", `du -cB1 "$1"/sessions/*/overlay/layers/*/data "$1"/sessions/*/overlay/*.data 2>/dev/null | tail -n 1`, "sh", state).Output()
	if err != nil {
		t.Fatal(err)
	}
	onDisk, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	// What runs beside may write a few blocks between the two looks.
	if diff := onDisk - g.TotalBytes; diff < -256<<10 || diff > 256<<10 {
		files, _ := filepath.Glob(state + "/sessions/*/overlay/*")
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

func TestLimitHoldsWritesAndRoomLetsThemGoOn(t *testing.T) {
	needsPostgres(t, "15")
	state := stateDir(t)
	r := start(t, state, "open", plainBackup(t), "--runner", "local", "--db", "postgres", "--writable", "--max-overlay", "12MiB")
	url := r.untilReady()["psql"].(string)
	done := make(chan error, 1)
	go func() {
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			defer conn.Close(t.Context())
			_, err = conn.Exec(t.Context(), `create table grown as select g, repeat(md5(g::text), 20) as t from generate_series(1, 60000) g`)
		}
		if err == nil {
			_, err = conn.Exec(t.Context(), `checkpoint`)
		}
		done <- err
	}()
	r.until("hold", func(e map[string]any) bool { return e["event"] == "hold" && e["held"] == true })
	// Reads go on while writes wait.
	if got := ask(t, url, `select count(*)::text from ev`); got != "100" {
		t.Errorf("ev has %s rows", got)
	}
	select {
	case err := <-done:
		t.Fatalf("the writer ended while writes were held: %v", err)
	default:
	}
	must(t, state, "limit", "1GiB")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := ask(t, url, `select count(*)::text from grown`); got != "60000" {
		t.Errorf("grown has %s rows, want 60000", got)
	}
}
