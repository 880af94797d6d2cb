package web

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "a\"b\\c\n\r\t\x00\x1f\x7f", "שלום😀\u2028", "\xff\xfe", "é\xc3", strings.Repeat("x", 300) + "\""} {
		f.Add([]byte(s), 16)
	}
	f.Fuzz(func(t *testing.T, v []byte, n int) {
		var got string
		if err := json.Unmarshal(appendString(nil, v), &got); err != nil {
			t.Fatalf("%q: %v", v, err)
		}
		// JSON's own decoder replaces each broken byte just so.
		want := new(strings.Builder)
		for i := 0; i < len(v); {
			r, size := utf8.DecodeRune(v[i:])
			want.WriteRune(r)
			i += size
		}
		if got != want.String() {
			t.Fatalf("%q became %q, want %q", v, got, want)
		}
		if n < leastCell || n >= len(v) || !utf8.Valid(v) {
			return
		}
		cut := v[:cutPoint(v, n)]
		if !utf8.Valid(cut) || len(cut) > n || len(cut) < n-utf8.UTFMax+1 {
			t.Fatalf("%q cut at %d of %d", v, len(cut), n)
		}
	})
}

// FuzzLiterals: no value ends the literal that it is written into.
func FuzzLiterals(f *testing.F) {
	f.Add([]byte(`a"b,c'`))
	f.Add([]byte(`{"a": "'"}`))
	f.Fuzz(func(t *testing.T, v []byte) {
		list := appendJSONValue(nil, oidJSONB, v)
		if !json.Valid(list) {
			t.Fatalf("%q became %q", v, list)
		}
		literal := string(appendLiteral(nil, oidText, v))
		if inner := literal[1 : len(literal)-1]; strings.ReplaceAll(strings.ReplaceAll(inner, "''", ""), "'", "") != strings.ReplaceAll(inner, "''", "") {
			t.Fatalf("%q became %s", v, literal)
		}
	})
}

func TestAfterCondition_NullsAndDirections(t *testing.T) {
	text := func(s string) *string { return &s }
	a := orderTerm{expr: "a", sqlType: "int"}
	k := orderTerm{expr: "k", sqlType: "int", notNull: true}
	down := func(o orderTerm) orderTerm { o.desc = true; return o }
	for _, c := range []struct {
		terms  []orderTerm
		values []*string
		want   string
	}{
		{[]orderTerm{k}, []*string{text("1")}, "k > '1'::int"},
		{[]orderTerm{down(k)}, []*string{text("1")}, "k < '1'::int"},
		{[]orderTerm{k, {expr: "l", sqlType: "text", notNull: true}}, []*string{text("1"), text("x'y")}, "(k, l) > ('1'::int, 'x''y'::text)"},
		{[]orderTerm{a, k}, []*string{text("1"), text("2")}, "(((a > '1'::int OR a IS NULL)) OR (a = '1'::int AND k > '2'::int))"},
		{[]orderTerm{a, k}, []*string{nil, text("2")}, "((a IS NULL AND k > '2'::int))"},
		{[]orderTerm{down(a), k}, []*string{nil, text("2")}, "((a IS NOT NULL) OR (a IS NULL AND k > '2'::int))"},
		{[]orderTerm{down(a), k}, []*string{text("1"), text("2")}, "((a < '1'::int) OR (a = '1'::int AND k > '2'::int))"},
		{[]orderTerm{a}, []*string{nil}, "false"},
	} {
		got, err := afterCondition(c.terms, c.values)
		if err != nil || got != c.want {
			t.Errorf("%v: %s, %v; want %s", c.terms, got, err, c.want)
		}
	}
	if _, err := afterCondition([]orderTerm{k}, nil); err == nil {
		t.Error("a cursor that does not fit was taken")
	}
}

func TestQuoteText_BackslashesAndQuotes(t *testing.T) {
	for in, want := range map[string]string{`a`: `'a'`, `a'b`: `'a''b'`, `a\'b`: `E'a\\''b'`, ``: `''`} {
		if got := quoteText(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestAttachment_NamesAreHarmless(t *testing.T) {
	for in, want := range map[string]string{
		"a.csv": "attachment; filename=a.csv", "../a\r\nb": "attachment; filename=.._ab", "naïve": "attachment; filename*=utf-8''na%C3%AFve",
		"a\u202egpj.exe": "attachment; filename=agpj.exe",
	} {
		if got := attachment(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
