package pgrunner

import (
	"bufio"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// logLine matches a line of the server's log as our log_line_prefix makes it,
// and those that come before the configuration is read.
var logLine = regexp.MustCompile(`^(?:\d{4}-\d\d-\d\d [\d:.]+ \w+ \[\d+\] )?(LOG|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|CONTEXT|STATEMENT|NOTICE):\s+(.*)$`)

// failure reads out of log lines why a server did not start: its last PANIC,
// else its first FATAL, with what follows it.
func failure(phase string, lines []string, exit string) *StartError {
	e := &StartError{Phase: phase, Cause: exit}
	rank, open := 0, false
	for _, line := range lines {
		m := logLine.FindStringSubmatch(line)
		if m == nil {
			open = false
			continue
		}
		r := map[string]int{"FATAL": 1, "PANIC": 2}[m[1]]
		switch {
		case r > rank || r == 2:
			rank, open = r, true
			e.Cause, e.Detail, e.Hint = m[1]+": "+m[2], "", ""
		case m[1] == "DETAIL" && open:
			e.Detail = m[2]
		case m[1] == "HINT" && open:
			e.Hint = m[2]
		case m[1] != "CONTEXT":
			open = false
		}
	}
	for _, a := range advice {
		if strings.Contains(e.Cause, a.cause) {
			e.Advice = a.text
			// PostgreSQL's hint for a missing backup's WAL is to delete
			// backup_label, which makes a corrupt database of a backup.
			if a.dropHint {
				e.Hint = ""
			}
			if strings.Contains(a.text, "is missing") && slices.ContainsFunc(lines, damagedWAL.MatchString) {
				e.Advice = "a WAL segment of the backup is damaged, and the log names it: take a good one from the archive or another copy, into a directory named with --wal-dir"
			}
			break
		}
	}
	e.Log = lines[max(0, len(lines)-20):]
	return e
}

// advice is what PostgreSQL's messages mean for a backup.
var advice = []struct {
	cause, text string
	dropHint    bool
}{
	{
		"could not locate required checkpoint record",
		"the WAL that was written during the backup is missing: it has to lie in pg_wal, from the segment in the first line of backup_label on", true,
	},
	{"could not find redo location", "the WAL that was written during the backup is missing or incomplete", true},
	{"could not locate a valid checkpoint record", "the WAL is missing or damaged: pg_wal has to hold the segment of the last checkpoint (pg_controldata shows it)", true},
	{"could not locate a valid primary checkpoint record", "the WAL is missing or damaged: pg_wal has to hold the segment of the last checkpoint (pg_controldata shows it)", true},
	{"WAL ends before end of online backup", "the last segments of the WAL written during the backup are missing", true},
	{"WAL ends before consistent recovery point", "the last segments of the WAL written during the backup are missing", true},
	{"requested timeline", "the history file or the WAL of this backup's timeline is missing", false},
	{"database files are incompatible with server", "another major version, architecture or build made these files; choose a matching one with --image", false},
	{"incorrect checksum in control file", "pg_control is damaged, or another version's", false},
	{"could not map anonymous shared memory", "the host or the container has too little memory for shared_buffers", false},
	{"could not resize shared memory segment", "/dev/shm is too small: raise --shm-size", false},
	{"No space left on device", "the overlay or the host's disk is full: raise --max-overlay or free some space", false},
	{"Input/output error", "the backup could not be read at that place, or the overlay is gone", false},
	{"could not access file", "the cluster needs this library to be read: use an image that has it, with --image", false},
}

// damagedWAL matches what the server says of a segment that is there but does not
// hold what was written to it.
var damagedWAL = regexp.MustCompile(`invalid magic number|incorrect resource manager data checksum|unexpected pageaddr|invalid info bits|WAL file is from different database system`)

// lowLimit matches the DETAIL of "insufficient parameter settings" on a
// standby, in the words of all versions since 10.
var lowLimit = regexp.MustCompile(`(max_\w+) = \d+ is a lower setting than on the (?:primary|master)(?: server)?, where its value was (\d+)`)

// lowLimitOld matches PostgreSQL 10 to 13's FATAL of the same.
var lowLimitOld = regexp.MustCompile(`because (max_\w+) = \d+ is a lower setting than on the (?:primary|master) server \(its value was (\d+)\)`)

// raise returns limits with which the start that failed with e is worth
// another try, and whether there are any.
func raise(l Limits, e *StartError) (Limits, bool) {
	text := e.Cause + "\n" + e.Detail + "\n" + strings.Join(e.Log, "\n")
	before := l
	for _, re := range []*regexp.Regexp{lowLimit, lowLimitOld} {
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			n, err := strconv.Atoi(m[2])
			if err != nil || n > 1<<18 {
				continue // MAX_BACKENDS
			}
			switch m[1] {
			case "max_connections":
				l.MaxConnections = max(l.MaxConnections, n)
			case "max_worker_processes":
				l.MaxWorkerProcesses = max(l.MaxWorkerProcesses, n)
			case "max_wal_senders":
				l.MaxWALSenders = max(l.MaxWALSenders, n)
			case "max_prepared_transactions":
				l.MaxPreparedXacts = max(l.MaxPreparedXacts, n)
			case "max_locks_per_transaction":
				l.MaxLocksPerXact = max(l.MaxLocksPerXact, n)
			}
		}
	}
	if strings.Contains(text, "maximum number of prepared transactions reached") && l.MaxPreparedXacts < 1<<16 {
		l.MaxPreparedXacts = max(4*l.MaxPreparedXacts, 100)
	}
	if strings.Contains(text, "You might need to increase max_locks_per_transaction") ||
		strings.Contains(text, `You might need to increase "max_locks_per_transaction"`) {
		if l.MaxLocksPerXact < 1<<16 {
			l.MaxLocksPerXact = max(4*l.MaxLocksPerXact, 256)
		}
	}
	return l, l != before
}

// maxTail is how much of the log's end is looked at.
const maxTail = 256 << 10

// readLog returns the lines of the log from offset on, or of its last maxTail
// bytes. A log that cannot be read has no lines.
func readLog(path string, offset int64) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil
	}
	offset = max(offset, st.Size()-maxTail)
	var lines []string
	s := bufio.NewScanner(io.NewSectionReader(f, offset, maxTail))
	s.Buffer(nil, maxTail)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	return lines
}

func logSize(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}
