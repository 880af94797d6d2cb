package pgrunner

import (
	"strings"
	"testing"
)

func TestConfLine(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"work_mem", "4MB", "work_mem = '4MB'"},
		{"cron.database_name", `o'neil\`, `cron.database_name = 'o''neil\\'`},
		{"a b", "x", ""},
		{"", "x", ""},
		{"x", "1\nfsync=on", ""},
	} {
		got, err := confLine(c.name, c.value)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%q, %q: %q, %v; want %q", c.name, c.value, got, err, c.want)
		}
	}
}

// What a version does not know, its server would refuse to start with.
func TestConfByVersion(t *testing.T) {
	for _, c := range []struct {
		major      int
		with, sans []string
	}{
		{10, []string{"stats_temp_directory"}, []string{"jit", "wal_recycle", "recovery_target_timeline", "event_triggers"}},
		{14, []string{"stats_temp_directory", "jit", "wal_recycle"}, []string{"event_triggers"}},
		{15, []string{"recovery_target_timeline"}, []string{"stats_temp_directory", "event_triggers"}},
		{17, []string{"event_triggers"}, []string{"max_active_replication_origins"}},
		{18, []string{"event_triggers", "max_active_replication_origins"}, nil},
	} {
		text, err := confText(Config{Major: c.major, Settings: map[string]string{"log_checkpoints": "off"}}, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range append(c.with, "log_checkpoints") {
			if !strings.Contains(text, "\n"+name+" = ") {
				t.Errorf("PostgreSQL %d: no %s", c.major, name)
			}
		}
		for _, name := range c.sans {
			if strings.Contains(text, "\n"+name+" = ") {
				t.Errorf("PostgreSQL %d: has %s", c.major, name)
			}
		}
	}
}

func TestConfLimits(t *testing.T) {
	text, err := confText(Config{Major: 15, TempFileBytes: -1}, Limits{MaxConnections: 300, MaxPreparedXacts: 7})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"max_connections = '300'", "max_prepared_transactions = '7'", "max_worker_processes = '8'", "temp_file_limit = '-1'",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

func TestCarriedSettings(t *testing.T) {
	got := map[string]string{}
	carriedSettings(`
timezone = 'Europe/Berlin'		# where we are
DateStyle 'iso, dmy'
#bytea_output = 'escape'
bytea_output=hex
xmlbinary = 'base64
intervalstyle = 'a\'b'
archive_command = 'rm -rf /'
default_text_search_config = 'pg_catalog.it''s'
`, got)
	want := map[string]string{
		"timezone": "Europe/Berlin", "datestyle": "iso, dmy", "bytea_output": "hex",
		"default_text_search_config": "pg_catalog.it's",
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %q, want %q", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("carried %v", got)
	}
}

func TestCompleteRefuses(t *testing.T) {
	for what, c := range map[string]Config{
		"relative root":    {Root: "x", RunDir: "/r"},
		"data outside":     {Root: "/x", RunDir: "/r", DataDir: "../etc"},
		"odd data":         {Root: "/x", RunDir: "/r", DataDir: "a b"},
		"long socket path": {Root: "/x", RunDir: "/" + strings.Repeat("r", 100)},
		"odd session":      {Root: "/x", RunDir: "/r", SessionID: "a/b"},
	} {
		if _, err := c.complete(); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
