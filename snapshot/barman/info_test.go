package barman

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot"
)

const sample = `backup_label='START WAL LOCATION: 0/A00028 (file 00000001000000000000000A)\nSTART TIMELINE: 1\n'
begin_time=2026-11-21 16:31:46.469692+00:00
begin_wal=00000001000000000000000A
begin_xlog=0/A00028
compression=None
end_time=2026-11-21 17:31:56.718264+01:00
end_wal=00000001000000000000000B
end_xlog=0/B00100
error=None
mode=postgres
size=23786537
status=DONE
systemid=7710663320002959376
tablespaces=[('side', 16384, '/srv/ts'), ("it's", 16390, "/srv/it's \\ \xe9 here")]
timeline=1
version=150020
xlog_segment_size=1048576
`

func TestParseInfo(t *testing.T) {
	i, err := parseInfo([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if i.problem() != "" || i.mode != "postgres" || i.major() != 15 || i.systemID != 7710663320002959376 || i.timeline != 1 ||
		i.beginLSN != 0xA00028 || i.endLSN != 0xB00100 || i.beginWAL[16:] != "0000000A" || i.endWAL[16:] != "0000000B" || i.segment != 1<<20 || i.size != 23786537 {
		t.Errorf("%+v", i)
	}
	if want := time.Date(2026, 11, 21, 16, 31, 56, 718264000, time.UTC); !i.end.Equal(want) {
		t.Errorf("ended %v, not %v", i.end, want)
	}
	if i.tablespaces[16384] != "/srv/ts" || i.tablespaces[16390] != `/srv/it's \ é here` || len(i.tablespaces) != 2 {
		t.Errorf("tablespaces: %v", i.tablespaces)
	}
	for old, problem := range map[string]string{
		"status=FAILED\nerror=disk full":                "disk full",
		"status=WAITING_FOR_WALS":                       "",
		"status=STARTED":                                "STARTED",
		"status=DONE\nsnapshots_info={}":                "cloud",
		"status=DONE\nencryption=gpg":                   "encrypted",
		"status=DONE\nparent_backup_id=20261120T163754": "on 20261120T163754",
	} {
		i, err := parseInfo([]byte(strings.Replace(sample, "status=DONE", old, 1)))
		if err != nil || !strings.Contains(i.problem(), problem) || (i.problem() == "") != (problem == "") {
			t.Errorf("%s: %v, %v", old, i, err)
		}
	}
}

func TestParseInfo_RefusesDamage(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":             "",
		"cut":                 sample[:300],
		"pgBackRest's":        "[backrest]\nbackrest-format=5\n",
		"no pair":             sample + "\x00\x01\n",
		"a WAL outside":       strings.Replace(sample, "begin_wal=00000001000000000000000A", "begin_wal=../../../../etc/passwd0", 1),
		"an LSN":              strings.Replace(sample, "end_xlog=0/B00100", "end_xlog=B00100", 1),
		"a timeline":          strings.Replace(sample, "timeline=1\nv", "timeline=-1\nv", 1),
		"a segment of 3 MiB":  strings.Replace(sample, "size=1048576", "size=3145728", 1),
		"a segment of 1 TiB":  strings.Replace(sample, "size=1048576", "size=1099511627776", 1),
		"tablespaces cut":     strings.Replace(sample, " here\")]", "", 1),
		"tablespaces' number": strings.Replace(sample, "16384", "99999999999", 1),
		"huge":                sample + strings.Repeat("#", maxInfo),
	} {
		if i, err := parseInfo([]byte(text)); !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("%s: %+v, %v", name, i, err)
		}
	}
}

func FuzzParseInfo(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("status=DONE\ntablespaces=[('a', 1, '\\x41'), (\"\", 2, '\\u00e9')]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := parseInfo(b)
		if err != nil {
			if !errors.Is(err, snapshot.ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if i.status == "" || i.segment < minSegment || i.segment > maxSegment || len(i.tablespaces) > maxTablespaces ||
			i.beginWAL != "" && !isSegment(i.beginWAL) || i.endWAL != "" && !isSegment(i.endWAL) {
			t.Fatalf("%+v", i)
		}
	})
}
