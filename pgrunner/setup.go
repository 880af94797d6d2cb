package pgrunner

import (
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// roleSettings go to the role, where they win over what ALTER DATABASE set in
// the backup. A value that this server refuses is a warning when the role
// connects. carried are settings of the backup's own that only change how
// values look.
func roleSettings(c Config, carried map[string]string) map[string]string {
	s := maps.Clone(carried)
	if s == nil {
		s = map[string]string{}
	}
	maps.Copy(s, map[string]string{
		// Libraries that are not here make every connection fail.
		"session_preload_libraries": "",
		"local_preload_libraries":   "",
		// A standby cannot be serializable: each query would fail.
		"default_transaction_isolation": "read committed",
		// Deadlines are the client's business.
		"statement_timeout":                   "0",
		"lock_timeout":                        "0",
		"idle_in_transaction_session_timeout": "0",
		// Limits and honesty of this server must not be the backup's.
		"temp_file_limit":         tempFileLimit(c),
		"zero_damaged_pages":      "off",
		"ignore_checksum_failure": "off",
		"log_statement":           "none",
		// A client's errors are its own; the log is for the server's.
		"log_min_messages": "fatal",
	})
	if c.Major >= 14 {
		s["idle_session_timeout"] = "0"
	}
	if c.Major >= 17 {
		s["transaction_timeout"] = "0"
		s["event_triggers"] = "off"
	}
	if c.Writable {
		s["default_transaction_read_only"] = "off"
		delete(s, "default_transaction_isolation")
	}
	return s
}

// settingsArray renders settings as the elements of setconfig.
func settingsArray(s map[string]string) string {
	var elements []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		elements = append(elements, "'"+name+"="+strings.ReplaceAll(s[name], "'", "''")+"'")
	}
	return strings.Join(elements, ", ")
}

// setupSQL returns what the recovered cluster is told in single-user mode,
// where a statement ends with its line and an error ends its statement only.
// Names of databases are asked for in hexadecimal, since the mode's output
// does not quote.
func setupSQL(c Config, carried map[string]string, role, verifier string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+";\n", args...) }

	// A standby of one role for all sees all rows: BYPASSRLS.
	attributes := "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION BYPASSRLS INHERIT LOGIN"
	if c.Writable {
		attributes = "SUPERUSER LOGIN"
	}
	line("CREATE ROLE %s %s PASSWORD '%s'", role, attributes, verifier)
	line("SELECT 1 AS sv_role FROM pg_authid WHERE rolname = '%s' AND rolpassword = '%s'", role, verifier)
	if c.Major >= 14 && !c.Writable {
		line("GRANT pg_read_all_data TO %s", role)
	}
	if c.HidePasswords {
		// What is left says that there is a password, and of which kind.
		line("UPDATE pg_authid SET rolpassword = CASE WHEN rolpassword ~ '^SCRAM' THEN 'SCRAM-SHA-256' ELSE 'md5' END || ' (hidden by snapview)' "+
			"WHERE rolpassword IS NOT NULL AND rolname <> '%s'", role)
		line("UPDATE pg_subscription SET subconninfo = 'hidden by snapview'")
	}
	if !c.Writable {
		line("GRANT pg_read_all_settings, pg_read_all_stats TO %s", role)
	}
	// ALTER ROLE cannot set a list of libraries to the empty list (it makes it
	// the library named ""), so the row is written as it would write it.
	line("INSERT INTO pg_db_role_setting SELECT 0, oid, ARRAY[%s] FROM pg_authid WHERE rolname = '%s'",
		settingsArray(roleSettings(c, carried)), role)
	if !c.Writable {
		// Nothing else grants this where it was revoked from PUBLIC.
		line(`DO $$ DECLARE d name; BEGIN FOR d IN SELECT datname FROM pg_database WHERE datallowconn `+
			`AND NOT has_database_privilege('%[1]s', oid, 'CONNECT') LOOP `+
			`EXECUTE format('GRANT CONNECT ON DATABASE %%I TO %[1]s', d); END LOOP; END $$`, role)
	}
	// Limits of connections bind everybody but superusers; a limit of 0 locks out.
	line("SELECT encode(namesend(datname), 'hex') AS sv_db FROM pg_database WHERE datallowconn " +
		"ORDER BY datistemplate, datname <> 'postgres', datname")
	line("SHOW server_version")
	if c.Major >= 15 {
		line("SELECT encode(namesend(datname), 'hex') || ' ' || datcollversion || ' ' || " +
			"coalesce(pg_database_collation_actual_version(oid), '-') AS sv_coll FROM pg_database " +
			"WHERE datallowconn AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)")
	}
	line("SELECT count(*) AS sv_prepared FROM pg_prepared_xacts")
	return b.String()
}

// grantSQL gives the reader what pg_read_all_data gives from version 14 on,
// in one database.
func grantSQL(role string) string {
	return `DO $$ DECLARE s name; BEGIN FOR s IN SELECT nspname FROM pg_namespace ` +
		`WHERE nspname NOT LIKE 'pg\_toast%' AND nspname NOT LIKE 'pg\_temp%' LOOP ` +
		`EXECUTE format('GRANT USAGE ON SCHEMA %I TO ` + role + `', s); ` +
		`IF s NOT IN ('pg_catalog', 'information_schema') THEN ` +
		`EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO ` + role + `', s); ` +
		`EXECUTE format('GRANT SELECT ON ALL SEQUENCES IN SCHEMA %I TO ` + role + `', s); ` +
		`END IF; END LOOP; END $$;` + "\n"
}

// found is what the setup learnt of the cluster.
type found struct {
	roleMade  bool
	databases []string
	version   string
	warnings  []string
}

// column matches a column of a row as single-user mode prints it (debugtup in
// access/common/printtup.c).
var column = regexp.MustCompile(`^(?:backend> )*\t \d+: (\w+) = "(.*)"\t\(typeid = `)

func parseSetup(out string) found {
	var f found
	for line := range strings.Lines(out) {
		m := column.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		switch name, value := m[1], m[2]; name {
		case "sv_role":
			f.roleMade = true
		case "sv_db":
			if db, err := hex.DecodeString(value); err == nil && len(db) > 0 {
				f.databases = append(f.databases, string(db))
			}
		case "server_version":
			f.version = value
		case "sv_coll":
			if w := strings.Fields(value); len(w) == 3 {
				db, _ := hex.DecodeString(w[0])
				f.warnings = append(f.warnings, fmt.Sprintf("database %q was sorted by version %s of its collation, this server "+
					"has %s: indexes on text may miss rows (set enable_indexscan, enable_indexonlyscan and enable_bitmapscan "+
					"to off to be sure)", db, w[1], w[2]))
			}
		case "sv_prepared":
			if value != "0" {
				f.warnings = append(f.warnings, value+" prepared transactions are in the backup: their locks hold, "+
					"their changes cannot be seen, and a standby's pg_prepared_xacts does not list them")
			}
		}
	}
	return f
}
