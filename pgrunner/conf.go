package pgrunner

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Paths inside the sandbox, in Docker and locally alike.
const (
	insideRoot = "/snapview/root"
	insideRun  = "/snapview/run"
	port       = 5432
)

// A setting is one line of the configuration we write, with the versions that
// know it (0: no bound) and the reason it is not the default.
type setting struct {
	name, value string
	since, till int
	reason      string
}

// settings returns postgresql.conf for c. The file is complete: nothing of the
// source's own is read, so what is not here has PostgreSQL's default, such as
// shared_preload_libraries, archive_command, ssl, primary_conninfo,
// synchronous_standby_names and every recovery_target: all off.
//
// Neither start needs the source's max_connections and its like: the first
// one recovers without hot standby, which skips the check, and leaves our
// values in pg_control for the second. Prepared transactions are the
// exception, they are restored in either.
func settings(c Config, l Limits) []setting {
	num := func(n, least int) string { return strconv.Itoa(max(n, least)) }
	s := []setting{
		{name: "listen_addresses", value: "", reason: "a unix socket only"},
		{name: "port", value: strconv.Itoa(port)},
		{name: "unix_socket_directories", value: insideRun},

		{name: "max_connections", value: num(l.MaxConnections, 100)},
		{name: "max_worker_processes", value: num(l.MaxWorkerProcesses, 8)},
		{name: "max_wal_senders", value: num(l.MaxWALSenders, 0), reason: "nobody replicates from here"},
		{name: "max_prepared_transactions", value: num(l.MaxPreparedXacts, 0), reason: "those in the backup are restored"},
		{name: "max_locks_per_transaction", value: num(l.MaxLocksPerXact, 64)},
		{name: "max_replication_slots", value: "64", reason: "replication origins in the WAL need one each"},
		{name: "max_active_replication_origins", value: "64", since: 18, reason: "likewise"},
		{name: "max_logical_replication_workers", value: "0", reason: "subscriptions stay asleep"},

		{name: "shared_buffers", value: "128MB", reason: "the page cache is below"},
		{name: "work_mem", value: "16MB"},
		{name: "maintenance_work_mem", value: "64MB"},
		{name: "huge_pages", value: "off"},
		{name: "dynamic_shared_memory_type", value: "posix", reason: "mmap would write to the overlay"},
		{name: "temp_file_limit", value: tempFileLimit(c), reason: "a query shall not fill the overlay"},
		{name: "stats_temp_directory", value: insideRun, till: 14, reason: "off the overlay"},

		{name: "wal_level", value: "replica", reason: "minimal would forbid the standby"},
		{name: "wal_log_hints", value: "on", reason: "a standby then leaves pages clean when it reads"},
		{name: "fsync", value: "off", reason: "the overlay is thrown away, and holds writes rather than failing them"},
		{name: "full_page_writes", value: "off"},
		{name: "synchronous_commit", value: "off"},
		{name: "wal_init_zero", value: "off", since: 12},
		{name: "wal_recycle", value: "off", since: 12},
		{name: "min_wal_size", value: "2GB", reason: "a start fails if it is less than two segments, of 1 GB at most"},
		{name: "max_wal_size", value: "4GB"},
		{name: "checkpoint_timeout", value: "1d"},
		{name: "bgwriter_lru_maxpages", value: "0"},

		{name: "hot_standby", value: "on"},
		{name: "recovery_target_timeline", value: "current", since: 12, reason: "latest would follow another branch"},
		{name: "wal_retrieve_retry_interval", value: "1d", reason: "no more WAL will come"},

		{name: "autovacuum", value: "off"},
		{name: "autovacuum_freeze_max_age", value: "2000000000", reason: "off does not hold where wraparound is near"},
		{name: "autovacuum_multixact_freeze_max_age", value: "2000000000"},
		{name: "track_counts", value: "off"},
		{name: "event_triggers", value: "off", since: 17, reason: "a login trigger could block or act"},
		{name: "lo_compat_privileges", value: "on", reason: "pg_read_all_data leaves out large objects"},
		{name: "jit", value: "off", since: 11},
		{name: "update_process_title", value: "off"},

		{name: "log_destination", value: "stderr"},
		{name: "logging_collector", value: "off"},
		{name: "log_line_prefix", value: "%m [%p] "},
		{name: "log_timezone", value: "UTC"},
		{name: "lc_messages", value: "C", reason: "we read the log"},
	}
	if c.Writable {
		s = append(s, setting{
			name: "track_counts", value: "on", reason: "a scratch server is to behave as usual",
		})
	}
	return slices.DeleteFunc(s, func(s setting) bool {
		return s.since > c.Major || (s.till != 0 && s.till < c.Major)
	})
}

func tempFileLimit(c Config) string {
	switch {
	case c.TempFileBytes < 0:
		return "-1"
	case c.TempFileBytes == 0:
		return strconv.Itoa(4<<30>>10) + "kB"
	default:
		return strconv.FormatInt(max(c.TempFileBytes>>10, 1), 10) + "kB"
	}
}

// confText renders postgresql.conf.
func confText(c Config, l Limits) (string, error) {
	var b strings.Builder
	b.WriteString("# Written by snapview. The backup's own postgresql.conf is not read.\n")
	for _, s := range settings(c, l) {
		line, err := confLine(s.name, s.value)
		if err != nil {
			return "", err
		}
		b.WriteString(line)
		if s.reason != "" {
			b.WriteString("  # " + s.reason)
		}
		b.WriteByte('\n')
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		line, err := confLine(name, c.Settings[name])
		if err != nil {
			return "", err
		}
		b.WriteString(line + "\n")
	}
	return b.String(), nil
}

// confLine renders one setting as guc-file.l reads it: a quoted string with
// quotes and backslashes doubled, on one line.
func confLine(name, value string) (string, error) {
	for _, r := range name {
		if !(r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return "", fmt.Errorf("setting %q: not the name of a setting", name)
		}
	}
	if name == "" || strings.ContainsAny(value, "\n\r\x00") {
		return "", fmt.Errorf("setting %q: the value %q does not fit on a line", name, value)
	}
	return name + " = '" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(value) + "'", nil
}

// hbaText renders pg_hba.conf: one role, by password, over the socket.
// Everything that matches no line is refused, superusers and replication too.
func hbaText(role string) string {
	return "# Written by snapview. Nobody else can log in, not even a superuser.\n" +
		"local all " + role + " scram-sha-256\n"
}

// recoveryConf is recovery.conf for versions before 12, where it makes the
// standby; later ones have standby.signal.
const recoveryConf = "standby_mode = on\n"
