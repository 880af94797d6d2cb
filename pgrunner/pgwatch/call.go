package pgwatch

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// maxCall is how much of a FunctionCall is read: the arguments of the functions
// below.
const maxCall = 64

// The functions that clients call so, libpq's lo_* (pg_proc.dat).
var known = map[uint32]string{
	715: "lo_create", 764: "lo_import", 765: "lo_export", 767: "lo_import", 952: "lo_open", 953: "lo_close",
	954: "loread", 955: "lowrite", 956: "lo_lseek", 957: "lo_creat", 958: "lo_tell", 964: "lo_unlink",
	1004: "lo_truncate", 3170: "lo_lseek64", 3171: "lo_tell64", 3172: "lo_truncate64",
}

// callText writes a FunctionCall (function, formats of the arguments, arguments)
// as SQL does, with those arguments that are binary integers.
func callText(body []byte) string {
	number := func(n int) uint32 {
		if len(body) < n {
			body = nil
			return 0
		}
		v := uint32(0)
		if n == 4 {
			v = binary.BigEndian.Uint32(body)
		} else {
			v = uint32(binary.BigEndian.Uint16(body))
		}
		body = body[n:]
		return v
	}
	oid := number(4)
	name := known[oid]
	if name == "" {
		name = "function " + strconv.FormatUint(uint64(oid), 10)
	}
	for formats := number(2); formats > 0 && len(body) > 0; formats-- {
		number(2)
	}
	var args []string
	for n := number(2); n > 0; n-- {
		if len(args) == 8 || len(body) < 4 {
			args = append(args, "…")
			break
		}
		switch size := int32(number(4)); {
		case size < 0:
			args = append(args, "NULL")
		case size == 4 && len(body) >= 4:
			args = append(args, strconv.FormatInt(int64(int32(number(4))), 10))
		default:
			args = append(args, "…")
			body = body[min(max(int(size), 0), len(body)):]
		}
	}
	return name + "(" + strings.Join(args, ", ") + ")"
}
