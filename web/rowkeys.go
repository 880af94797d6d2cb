package web

import (
	"encoding/json"
	"net/http"
	"strings"
)

// keyOf returns the key of a row as text: a JSON array of the key's values, or
// the ctid.
func (r *relation) keyOf(values [][]byte) *string {
	var key string
	switch r.Paging {
	case pagingKey:
		list := make([]string, len(values))
		for i, v := range values {
			list[i] = validText(string(v))
		}
		b, err := json.Marshal(list)
		if err != nil {
			return nil
		}
		key = string(b)
	case pagingCTID:
		key = string(values[0])
	case pagingOffset:
		return nil
	}
	return &key
}

// keyCondition is the opposite of keyOf.
func (r *relation) keyCondition(key string) (string, error) {
	literals, err := r.keyLiterals(key)
	if err != nil {
		return "", err
	}
	if r.Paging == pagingCTID {
		return "ctid = " + literals[0], nil
	}
	var parts []string
	for i, k := range r.key {
		parts = append(parts, quoteName(k.Name)+" = "+literals[i])
	}
	return strings.Join(parts, " AND "), nil
}

// keyLiterals are the values of a key for SQL.
func (r *relation) keyLiterals(key string) ([]string, error) {
	switch {
	case r.Paging == pagingOffset:
		return nil, problem(http.StatusUnprocessableEntity, "not-supported", "the rows of this relation have no key").
			withHint("select the value with a query")
	case strings.ContainsRune(key, 0):
		return nil, badRequest("the key is not one of ours")
	case r.Paging == pagingCTID:
		return []string{quoteText(key) + "::pg_catalog.tid"}, nil
	}
	var values []string
	if err := json.Unmarshal([]byte(key), &values); err != nil || len(values) != len(r.key) {
		return nil, badRequest("the key is not one of this relation")
	}
	var literals []string
	for i, k := range r.key {
		if strings.ContainsRune(values[i], 0) {
			return nil, badRequest("the key is not one of this relation")
		}
		literals = append(literals, quoteText(values[i])+"::"+k.Type)
	}
	return literals, nil
}

// keysCondition chooses the rows with these keys. A list of a single column's
// values, or of places, is one that an index, or a scan by place, answers.
func (r *relation) keysCondition(keys []string) (string, error) {
	var literals, left []string
	for _, k := range r.key {
		left = append(left, quoteName(k.Name))
	}
	if r.Paging == pagingCTID {
		left = []string{"ctid"}
	}
	for _, key := range keys {
		list, err := r.keyLiterals(key)
		if err != nil {
			return "", err
		}
		literal := strings.Join(list, ", ")
		if len(list) > 1 {
			literal = "(" + literal + ")"
		}
		literals = append(literals, literal)
	}
	if len(left) > 1 {
		return "(" + strings.Join(left, ", ") + ") IN (VALUES " + strings.Join(literals, ", ") + ")", nil
	}
	return left[0] + " IN (" + strings.Join(literals, ", ") + ")", nil
}
