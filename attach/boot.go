package attach

import (
	"os"
	"strings"
	"sync"
)

// bootID identifies this boot of the kernel; empty where it cannot be read.
var bootID = sync.OnceValue(func() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
})
