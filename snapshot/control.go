package snapshot

// DBState is the state that pg_control records.
type DBState uint32

// States, as PostgreSQL numbers them (src/include/catalog/pg_control.h).
const (
	StateStartingUp DBState = iota
	StateShutDown
	StateShutDownInRecovery
	StateShuttingDown
	StateCrashRecovery
	StateArchiveRecovery
	StateInProduction
)

// String gives pg_controldata's words.
func (s DBState) String() string {
	names := [...]string{
		"starting up", "shut down", "shut down in recovery", "shutting down",
		"in crash recovery", "in archive recovery", "in production",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return "unrecognized status code"
}

// MarshalText makes a state its words in JSON.
func (s DBState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
