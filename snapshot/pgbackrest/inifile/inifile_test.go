package inifile

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// sealed makes a file of one section; object is its content in JSON.
func sealed(lines, object string) string {
	sum := sha1.Sum([]byte(`{"backrest":{"backrest-format":5},"a":{` + object + `}}`))
	return fmt.Sprintf("[backrest]\nbackrest-format=5\n\n[a]\n%s\n[backrest]\nbackrest-checksum=\"%x\"\n", lines, sum)
}

func TestParse(t *testing.T) {
	got := ""
	text := sealed("x=1\nb=c={\"d\":\"=\"}\n\"q=[1,2]\n=y=\"z\"\n", `"x":1,"b=c":{"d":"="},"\"q":[1,2],"=y":"z"`)
	err := Parse(strings.NewReader(text), func(section, key string, value []byte) error {
		if section == "a" {
			got += fmt.Sprintf("%s|%s;", key, value)
		}
		return nil
	})
	if want := `x|1;b=c|{"d":"="};"q|[1,2];=y|"z";`; err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestParse_RefusesDamage(t *testing.T) {
	whole := sealed("x=1\ny=\"two\"\n", `"x":1,"y":"two"`)
	parse := func(text string) error {
		return Parse(strings.NewReader(text), func(string, string, []byte) error { return nil })
	}
	if err := parse(whole); err != nil {
		t.Fatal(err)
	}
	for i := range len(whole) - 1 {
		if err := parse(whole[:i]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
		flipped := []byte(whole)
		flipped[i] ^= 1
		if err := parse(string(flipped)); err == nil {
			t.Errorf("byte %d changed to %q: %v", i, flipped[i], err)
		}
	}
	if err := parse(strings.Replace(whole, "format=5", "format=6", 1)); !errors.Is(err, ErrFormat) {
		t.Errorf("another format: %v", err)
	}
	stop := errors.New("enough")
	if err := Parse(strings.NewReader(whole), func(string, string, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of each: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sealed("x=1\nb=c={\"d\":\"=\"}\n", `"x":1,"b=c":{"d":"="}`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := Parse(bytes.NewReader(b), func(string, string, []byte) error { n++; return nil })
		if err == nil && n > len(b) {
			t.Errorf("%d values in %d bytes", n, len(b))
		}
	})
}
