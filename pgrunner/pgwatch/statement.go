package pgwatch

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"
)

// A Kind is how a statement was sent.
type Kind string

// The kinds of statements.
const (
	KindQuery    Kind = "query"    // as text, by either of the protocol's ways
	KindFunction Kind = "function" // FunctionCall
)

// A Statement is one that the server was asked to run.
type Statement struct {
	Time time.Time // the server could begin with it
	Took time.Duration

	// What the client said about itself: the role it logged in as, and the name
	// it gives itself, which nobody checks.
	Role, Database, Application string

	Kind     Kind
	SQL      string // the first MaxText characters, in the client's encoding
	Commands int    // how many the text held that ended, or calls of the function
	Rows     int64  // as the server counts them
	Bytes    int64  // of the server's messages
	BytesIn  int64  // that COPY FROM STDIN was given

	SQLState string // of the error, if one ended it
	Failure  string // it, for people
	Ended    bool   // the connection ended before the answer did
}

// MaxText is how much of a statement is kept, in characters.
const MaxText = 64 << 10

// clip cuts a text that is too long between characters.
func clip(text []byte, cut bool) string {
	n := 0
	for i := 0; i < len(text); n++ {
		if n == MaxText {
			text, cut = text[:i], true
			break
		}
		_, size := utf8.DecodeRune(text[i:])
		i += size
	}
	if cut {
		return string(text) + "…"
	}
	return string(text)
}

// rowsOf reads the number of rows from a command tag ("SELECT 5", "INSERT 0 5").
func rowsOf(tag string) (n int64, ok bool) {
	last := tag[strings.LastIndexByte(tag, ' ')+1:]
	if last == "" || len(last) > 18 {
		return 0, false
	}
	for _, digit := range []byte(last) {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		n = n*10 + int64(digit-'0')
	}
	return n, true
}

// errorOf reads an ErrorResponse: fields of a letter and a string.
func errorOf(body []byte) (state, message string) {
	severity := "ERROR"
	for len(body) > 1 {
		letter, rest := body[0], body[1:]
		value := rest
		if end := bytes.IndexByte(rest, 0); end >= 0 {
			value, rest = rest[:end], rest[end+1:]
		} else {
			rest = nil
		}
		switch letter {
		case 'V':
			severity = string(value)
		case 'C':
			state = string(value)
		case 'M':
			message = string(value)
		}
		body = rest
	}
	return state, severity + ": " + message + " (SQLSTATE " + state + ")"
}
