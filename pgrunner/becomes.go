package pgrunner

// ServerSettings returns what the server that Start starts is set to, by name:
// what is not in it has PostgreSQL's default, but for those that Carried keeps.
func ServerSettings(c Config) map[string]string {
	into := map[string]string{}
	for _, s := range settings(c, c.Limits) {
		into[s.name] = s.value
	}
	for name, value := range c.Settings {
		into[name] = value
	}
	return into
}

// Carried says whether a setting keeps the value that it has in the backup:
// those that only change how values are read and shown.
func Carried(name string) bool { return carriedNames[name] }
