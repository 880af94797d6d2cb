package attach

// A Check is one thing that attaching needs from the host.
type Check struct {
	Name   string // short, stable: "fuse", "loop", "nbd" ...
	OK     bool
	Needed bool   // without it no method works; false: one method or a comfort is lost
	Detail string // what was found
	Remedy string // what to do about it, empty when OK
}

// CheckHost looks at everything that attaching needs from this host, changes
// nothing, and takes a few milliseconds.
func CheckHost() []Check { return nil }

// Support says whether a method can be used here, and why not.
type Support struct {
	Method Method
	OK     bool
	Reason string // why not, or how; one line
}

// Supported says what this host offers, best first.
func Supported() []Support { return nil }
