package barman

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var errLiteral = errors.New("not a list of (name, OID, location) as Python writes it")

// parseTablespaces reads Barman's list of tablespaces, a Python literal such as
// [('side', 16384, '/srv/side')], as OID to location.
func parseTablespaces(s string) (map[uint32]string, error) {
	list := map[uint32]string{}
	s, ok := strings.CutPrefix(s, "[")
	for ok {
		s = strings.TrimLeft(s, ", ")
		if s == "]" {
			return list, nil
		}
		var oid uint64
		var location string
		var err error
		if s, ok = strings.CutPrefix(s, "("); !ok {
			break
		}
		if _, s, err = pythonString(s); err != nil {
			return nil, err
		}
		number, rest, both := strings.Cut(strings.TrimPrefix(s, ", "), ", ")
		if oid, err = strconv.ParseUint(number, 10, 32); err != nil || !both {
			return nil, errLiteral
		}
		if location, s, err = pythonString(rest); err != nil {
			return nil, err
		}
		if len(list) == maxTablespaces {
			return nil, fmt.Errorf("more than %d tablespaces", maxTablespaces)
		}
		list[uint32(oid)] = location
		s, ok = strings.CutPrefix(s, ")")
	}
	return nil, errLiteral
}

// pythonString takes a string in quotes of either kind off the beginning of s.
func pythonString(s string) (value, rest string, err error) {
	if s == "" || s[0] != '\'' && s[0] != '"' {
		return "", "", errLiteral
	}
	quote := s[0]
	s = s[1:]
	var v strings.Builder
	for s != "" {
		if s[0] == quote {
			return v.String(), s[1:], nil
		}
		// Go reads the escapes that Python writes: \\ \' \n \r \t \xNN \uNNNN.
		// A \xNN is a character there and no byte, and so it is written.
		c, _, tail, err := strconv.UnquoteChar(s, quote)
		if err != nil {
			return "", "", errLiteral
		}
		v.WriteRune(c)
		s = tail
	}
	return "", "", errLiteral
}
