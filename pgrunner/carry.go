package pgrunner

import (
	"regexp"
	"strings"
)

// carriedNames are the settings that are taken over from the backup: they
// change how values are read and shown, and nothing else.
var carriedNames = map[string]bool{
	"timezone":                    true,
	"datestyle":                   true,
	"intervalstyle":               true,
	"bytea_output":                true,
	"default_text_search_config":  true,
	"xmlbinary":                   true,
	"standard_conforming_strings": true,
}

// confSetting matches a line of postgresql.conf: a name, an equals sign or
// space, a quoted string or a word.
var confSetting = regexp.MustCompile(`^\s*([A-Za-z_]+)(?:\s*=\s*|\s+)(?:'((?:[^'\\]|'')*)'|([A-Za-z0-9_./+:,-]+))\s*(?:#.*)?$`)

// carriedSettings adds to into the settings of conf that are carried over.
// Includes are not followed, values with backslashes are left out.
func carriedSettings(conf string, into map[string]string) {
	for line := range strings.Lines(conf) {
		m := confSetting.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil || !carriedNames[strings.ToLower(m[1])] {
			continue
		}
		value := strings.ReplaceAll(m[2], "''", "'") + m[3]
		if len(value) > 100 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
			continue
		}
		into[strings.ToLower(m[1])] = value
	}
}
