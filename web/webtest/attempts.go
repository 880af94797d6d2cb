package webtest

import (
	_ "embed"
	"encoding/json"
	"strings"
)

//go:embed attempts.json
var attempts []byte

// An Attempt is a statement that tries to write, or to get out of the database.
// The list is in attempts.json, which the steps in the browser read as well.
type Attempt struct {
	// SQL has placeholders: TABLE, COLUMN of it, SEQUENCE, and FILE for one that
	// must not come to be.
	SQL string `json:"sql"`

	// Refused is by what the statement is refused on a primary server whose
	// reader is no superuser: a SQLSTATE, or not-a-query where the gate refuses
	// what returns no rows. Empty: it runs, and changes nothing that lasts.
	Refused string `json:"refused,omitempty"`

	// Standby is the same on a standby, where it differs. A dash: it runs.
	Standby string `json:"standby,omitempty"`

	// Scratch is the same in a scratch session, whose role is a superuser, where
	// it differs. A dash: it runs.
	Scratch string `json:"scratch,omitempty"`

	// Demo says that it needs what only the test over the demo database makes.
	Demo bool `json:"demo,omitempty"`
}

// Attempts returns the list with its placeholders replaced.
func Attempts(table, column, sequence, file string) ([]Attempt, error) {
	var list []Attempt
	if err := json.Unmarshal(attempts, &list); err != nil {
		return nil, err
	}
	fill := strings.NewReplacer("TABLE", table, "COLUMN", column, "SEQUENCE", sequence, "FILE", file)
	for i := range list {
		list[i].SQL = fill.Replace(list[i].SQL)
	}
	return list, nil
}

// OnStandby returns by what the attempt is refused there; empty if it runs.
func (a Attempt) OnStandby() string { return otherwise(a.Standby, a.Refused) }

// InScratch returns by what the attempt is refused in a scratch session; empty
// if it runs.
func (a Attempt) InScratch() string { return otherwise(a.Scratch, a.Refused) }

func otherwise(here, there string) string {
	switch here {
	case "":
		return there
	case "-":
		return ""
	}
	return here
}
