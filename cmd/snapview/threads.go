package main

import (
	"os"
	"runtime"
)

// readers is how many reads of the backup should wait for its disk at once,
// at least.
const readers = 16

// allowReaders lets more goroutines sit in system calls than there are
// processors. A read of the backup that has to wait for the disk keeps its
// processor (Go's P) until the runtime takes it away, 20 µs to 10 ms later; on
// a machine with two, the disk never sees more than a few requests of the 16
// that somebody has under way. go-fuse sizes its pool of readers by the same
// figure. Somebody's own GOMAXPROCS is left as it is.
func allowReaders() {
	if os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < readers {
		runtime.GOMAXPROCS(readers)
	}
}
