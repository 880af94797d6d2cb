package snapshot

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Bounds on configuration, which is read for display only.
const (
	maxConfigFiles    = 64
	maxConfigSettings = 4096
	maxConfigDepth    = 10 // as PostgreSQL's CONF_FILE_MAX_DEPTH
)

// configReader gathers settings from postgresql.conf and what it includes.
type configReader struct {
	read    func(name string) ([]byte, error)   // a file below data/
	list    func(name string) ([]string, error) // the names in a directory below data/
	files   int
	open    map[string]bool // being read: a file that includes itself is not read again
	out     []Setting
	skipped []string // includes outside of the backup
}

// readSettings returns the settings of postgresql.conf and
// postgresql.auto.conf in the order in which PostgreSQL reads them: of two with
// one name the later wins. skipped names includes that the backup does not hold.
func readSettings(read func(string) ([]byte, error), list func(string) ([]string, error)) (settings []Setting, skipped []string) {
	r := &configReader{read: read, list: list, open: map[string]bool{}}
	r.file("postgresql.conf", 0)
	r.file("postgresql.auto.conf", 0)
	last := map[string]int{}
	for i, s := range r.out {
		last[s.Name] = i
	}
	for i, s := range r.out {
		if last[s.Name] == i {
			s.Effect = settingEffect(s.Name)
			settings = append(settings, s)
		}
	}
	return settings, r.skipped
}

func (r *configReader) file(name string, depth int) {
	if depth > maxConfigDepth || r.files >= maxConfigFiles || r.open[name] {
		return
	}
	r.files++
	r.open[name] = true
	defer delete(r.open, name)
	b, err := r.read(name)
	if err != nil {
		if depth > 0 {
			r.skipped = append(r.skipped, name)
		}
		return
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		key, value, ok := parseSetting(line)
		if !ok || len(r.out) >= maxConfigSettings {
			continue
		}
		switch key {
		case "include", "include_if_exists", "include_dir":
			r.include(key, value, path.Dir(name), depth)
		default:
			r.out = append(r.out, Setting{Name: key, Value: value, File: name, Line: n})
		}
	}
}

func (r *configReader) include(how, target, dir string, depth int) {
	at := path.Join(dir, target)
	if path.IsAbs(target) || at == ".." || strings.HasPrefix(at, "../") {
		r.skipped = append(r.skipped, target)
		return
	}
	if how != "include_dir" {
		r.file(at, depth+1)
		return
	}
	names, err := r.list(at)
	if err != nil {
		r.skipped = append(r.skipped, target)
		return
	}
	slices.Sort(names)
	for _, n := range names {
		if strings.HasSuffix(n, ".conf") && !strings.HasPrefix(n, ".") {
			r.file(path.Join(at, n), depth+1)
		}
	}
}

// parseSetting reads one line of a configuration file: name, optional equals
// sign, value bare or in single quotes, in which two of them and \' are a quote.
func parseSetting(line string) (name, value string, ok bool) {
	s := strings.TrimSpace(line)
	i := strings.IndexFunc(s, func(c rune) bool {
		return !(c == '_' || c == '.' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
	})
	if i <= 0 {
		return "", "", false
	}
	name, s = strings.ToLower(s[:i]), strings.TrimSpace(s[i:])
	s = strings.TrimSpace(strings.TrimPrefix(s, "="))
	if !strings.HasPrefix(s, "'") {
		if i := strings.IndexAny(s, " \t#"); i >= 0 {
			s = s[:i]
		}
		return name, s, s != ""
	}
	var v strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			v.WriteByte(s[i])
		case s[i] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
			v.WriteByte('\'')
		case s[i] == '\'':
			return name, v.String(), true
		default:
			v.WriteByte(s[i])
		}
	}
	return "", "", false // no closing quote
}

// settingEffect says what becomes of a setting. None is carried over; the
// text is for those whose absence a person may notice or would worry about.
func settingEffect(name string) string {
	switch name {
	case "archive_mode", "archive_command", "archive_library", "archive_cleanup_command", "recovery_end_command":
		return "off: a session never touches the source's WAL archive"
	case "restore_command", "primary_conninfo", "primary_slot_name", "recovery_min_apply_delay", "hot_standby":
		return "dropped: a session replays only the WAL it was opened with"
	case "shared_preload_libraries", "session_preload_libraries", "local_preload_libraries":
		return "dropped: libraries of the source host are not loaded"
	case "ssl", "ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_passphrase_command", "krb_server_keyfile":
		return "off: a session is reached by a local socket"
	case "listen_addresses", "port", "unix_socket_directories":
		return "replaced: no TCP, a socket in the session's folder"
	case "data_directory", "hba_file", "ident_file", "external_pid_file":
		return "replaced by the session's own files"
	case "synchronous_standby_names", "synchronized_standby_slots":
		return "emptied: writes would wait for standbys that are not there"
	case "huge_pages", "shared_buffers", "work_mem", "maintenance_work_mem", "effective_cache_size":
		return "replaced by sizes for this host"
	case "log_destination", "logging_collector", "log_directory", "log_filename", "syslog_ident", "event_source", "stats_temp_directory":
		return "replaced: the session keeps PostgreSQL's log"
	case "max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions", "max_locks_per_transaction":
		return "taken from pg_control, which recovery checks"
	case "fsync", "full_page_writes", "wal_level", "checkpoint_timeout", "max_wal_size", "min_wal_size", "wal_log_hints":
		return "replaced: the overlay is disposable"
	case "autovacuum", "max_logical_replication_workers", "jit", "wal_keep_size", "wal_keep_segments":
		return "replaced: nothing runs in the background"
	}
	if strings.HasPrefix(name, "recovery_target") {
		return "dropped: the moment is chosen at open"
	}
	return ""
}

// String gives a setting as a configuration file would.
func (s Setting) String() string {
	return fmt.Sprintf("%s = '%s'", s.Name, strings.ReplaceAll(s.Value, "'", "''"))
}
