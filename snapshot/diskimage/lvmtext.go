package diskimage

import (
	"strconv"
	"strings"

	"github.com/snapview/snapview/snapshot"
)

// A section is a block of LVM's metadata: settings and sections, by name, in
// the order of the text (lvm2's libdm/libdm-config.c).
type section []setting

type setting struct {
	name    string
	values  []value
	section section // of a block
	block   bool
}

type value struct {
	text   string
	number int64
	isText bool
}

type named struct {
	name string
	section
}

func (s section) find(name string) (setting, bool) {
	for _, one := range s {
		if one.name == name {
			return one, true
		}
	}
	return setting{}, false
}

func (s section) text(name string) (string, bool) {
	one, ok := s.find(name)
	if !ok || len(one.values) != 1 || !one.values[0].isText {
		return "", false
	}
	return one.values[0].text, true
}

func (s section) number(name string) (int64, bool) {
	one, ok := s.find(name)
	if !ok || len(one.values) != 1 || one.values[0].isText {
		return 0, false
	}
	return one.values[0].number, true
}

func (s section) list(name string) []value {
	one, _ := s.find(name)
	return one.values
}

func (s section) section(name string) section {
	one, _ := s.find(name)
	return one.section
}

func (s section) sections() (list []named) {
	for _, one := range s {
		if one.block {
			list = append(list, named{one.name, one.section})
		}
	}
	return list
}

// parseLVM reads the metadata of a volume group: its name and its section.
func parseLVM(text string) (name string, config section, err error) {
	p := &lvmParser{rest: text}
	top, err := p.section(0)
	if err != nil {
		return "", nil, err
	}
	for _, s := range top.sections() {
		return s.name, s.section, nil
	}
	return "", nil, snapshot.Errorf(snapshot.ErrDamaged, "the metadata names no volume group")
}

const (
	maxLVMDepth  = 8
	maxLVMTokens = 1 << 20
)

type lvmParser struct {
	rest   string
	tokens int
}

// next returns the next token: a sign, a quoted text with its first quote, or
// a word; "" at the end.
func (p *lvmParser) next() string {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\r\n,")
		if !strings.HasPrefix(p.rest, "#") {
			break
		}
		_, p.rest, _ = strings.Cut(p.rest, "\n")
	}
	if p.tokens++; p.rest == "" || p.tokens > maxLVMTokens {
		return ""
	}
	switch c := p.rest[0]; {
	case strings.IndexByte("{}[]=", c) >= 0:
		p.rest = p.rest[1:]
		return string(c)
	case c == '"':
		var b strings.Builder
		b.WriteByte('"')
		for i := 1; i < len(p.rest); i++ {
			switch c := p.rest[i]; {
			case c == '\\' && i+1 < len(p.rest):
				i++
				b.WriteByte(p.rest[i])
			case c == '"':
				p.rest = p.rest[i+1:]
				return b.String()
			default:
				b.WriteByte(c)
			}
		}
		p.rest = ""
		return ""
	}
	end := strings.IndexAny(p.rest, " \t\r\n,{}[]=\"#")
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

var errLVMText = snapshot.Errorf(snapshot.ErrDamaged, "the metadata cannot be read as LVM writes it")

// section reads settings up to the closing brace, or the end at depth 0.
func (p *lvmParser) section(depth int) (section, error) {
	if depth > maxLVMDepth {
		return nil, errLVMText
	}
	var s section
	for {
		name := p.next()
		switch {
		case name == "" && depth == 0 && p.rest == "", name == "}" && depth > 0:
			return s, nil
		case name == "" || strings.ContainsAny(name, "{}[]=\""):
			return nil, errLVMText
		}
		one := setting{name: name}
		switch p.next() {
		case "{":
			below, err := p.section(depth + 1)
			if err != nil {
				return nil, err
			}
			one.section, one.block = below, true
		case "=":
			values, err := p.values()
			if err != nil {
				return nil, err
			}
			one.values = values
		default:
			return nil, errLVMText
		}
		s = append(s, one)
	}
}

// values reads what is behind an equals sign: one value, or a list.
func (p *lvmParser) values() ([]value, error) {
	token := p.next()
	if token != "[" {
		v, err := parseValue(token)
		return []value{v}, err
	}
	var list []value
	for {
		if token = p.next(); token == "]" {
			return list, nil
		}
		v, err := parseValue(token)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
}

func parseValue(token string) (value, error) {
	if text, ok := strings.CutPrefix(token, `"`); ok {
		return value{text: text, isText: true}, nil
	}
	n, err := strconv.ParseInt(token, 10, 64)
	if err != nil {
		return value{}, errLVMText
	}
	return value{number: n}, nil
}
