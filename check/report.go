package check

import (
	"fmt"
	"strings"
	"time"
)

// Outcome is how a check ended.
type Outcome string

// The outcomes. Failed is a finding about the backup; Errored means that the
// check could not be made, so that nothing is known.
const (
	Passed  Outcome = "passed"
	Warned  Outcome = "warning" // passed, with something to know
	Skipped Outcome = "skipped" // not asked for, or not possible for this version
	Failed  Outcome = "failed"
	Errored Outcome = "error"
)

// Bad says whether an outcome makes the whole test fail.
func (o Outcome) Bad() bool { return o == Failed || o == Errored }

// A Problem is one thing that is wrong, as near to its place as is known.
type Problem struct {
	Database string  `json:"database,omitempty"`
	Relation string  `json:"relation,omitempty"` // schema.name
	File     string  `json:"file,omitempty"`     // relative to the data directory
	Block    *uint32 `json:"block,omitempty"`    // of the relation's fork, from 0
	Message  string  `json:"message"`
}

func (p Problem) String() string {
	var where []string
	put := func(what, v string) {
		if v != "" {
			where = append(where, what+v)
		}
	}
	put("database ", p.Database)
	put("", p.Relation)
	put("", p.File)
	if p.Block != nil {
		put("block ", fmt.Sprint(*p.Block))
	}
	if len(where) == 0 {
		return p.Message
	}
	return strings.Join(where, ", ") + ": " + p.Message
}

// A Case is one check.
type Case struct {
	Suite    string        `json:"suite"` // open, preflight, files, pages, amcheck, sql
	Name     string        `json:"name"`
	Outcome  Outcome       `json:"outcome"`
	Took     time.Duration `json:"-"`
	Seconds  float64       `json:"seconds"`
	Detail   string        `json:"detail,omitempty"`
	Problems []Problem     `json:"problems,omitempty"`
	More     int           `json:"more_problems,omitempty"` // than are listed
}

func (c Case) String() string { return c.Suite + ": " + c.Name }

// A Report is a whole test. It is not for concurrent use.
type Report struct {
	Ref     string    `json:"ref"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	OK      bool      `json:"ok"`
	Passed  int       `json:"passed"` // warnings included
	Failed  int       `json:"failed"` // errors included
	Skipped int       `json:"skipped"`
	Cases   []Case    `json:"checks"`
}

// NewReport begins the report about ref.
func NewReport(ref string) *Report { return &Report{Ref: ref, Started: time.Now()} }

// Add records a check.
func (r *Report) Add(c Case) {
	c.Seconds = c.Took.Seconds()
	switch {
	case c.Outcome.Bad():
		r.Failed++
	case c.Outcome == Skipped:
		r.Skipped++
	default:
		r.Passed++
	}
	r.Cases = append(r.Cases, c)
}

// End sums up. Nothing may be added afterwards.
func (r *Report) End() {
	r.Seconds = time.Since(r.Started).Seconds()
	r.OK = r.Failed == 0
}

// Bad lists the checks that failed.
func (r *Report) Bad() []Case {
	var bad []Case
	for _, c := range r.Cases {
		if c.Outcome.Bad() {
			bad = append(bad, c)
		}
	}
	return bad
}
