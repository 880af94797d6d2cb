package snapshot

// Outcome of a check.
type Outcome string

// Outcomes, from good to bad. Refuse means: do not open.
const (
	OK     Outcome = "ok"
	Info   Outcome = "info"
	Warn   Outcome = "warn"
	Refuse Outcome = "refuse"
)

// A Check is one finding of the preflight.
type Check struct {
	Name    string // stable, for scripts: "wal", "checksums", "tablespaces", ...
	Outcome Outcome
	Detail  string // what was found, on which object
	Remedy  string `json:",omitempty"` // what to do about it, if anything

	class error // of a Refuse
}

// Refusal makes a check that refuses the snapshot with an error of the class.
func Refusal(class error, name, detail, remedy string) Check {
	return Check{Name: name, Outcome: Refuse, Detail: detail, Remedy: remedy, class: class}
}

func (c Check) err() error {
	class := c.class
	if class == nil {
		class = ErrUnsafe
	}
	if c.Remedy == "" {
		return Errorf(class, "%s", c.Detail)
	}
	return Errorf(class, "%s; %s", c.Detail, c.Remedy)
}

// A Setting is one line of the source host's configuration and what becomes
// of it when the snapshot is opened.
type Setting struct {
	Name   string
	Value  string
	File   string // below data/
	Line   int
	Effect string // empty: not carried over and harmless
}
