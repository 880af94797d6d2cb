package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/web"
)

// Snapshot shows what the backup is and what preflight found.
func (v *sessionView) Snapshot(context.Context) (web.Snapshot, error) {
	snap := v.Session.Info().Snapshot
	if snap == nil {
		return web.Snapshot{}, web.ErrNotReady
	}
	out := webSnapshot(snap)
	if server, err := v.Server(); err == nil {
		for _, change := range server.Changes() {
			out.Changes = append(out.Changes, web.Change{What: change, Why: "so that it starts here, in the overlay only"})
		}
		if shown := databaseToShow(server, v.database); v.database != "" && shown != v.database {
			out.Warnings = append(out.Warnings, web.Warning{
				Code: "database", Severity: web.SeverityWarning,
				Title: fmt.Sprintf("There is no database %q; %s is shown first", v.database, shown),
			})
		}
		for _, w := range server.Warnings() {
			out.Warnings = append(out.Warnings, web.Warning{Code: "server", Severity: web.SeverityWarning, Title: w})
		}
	}
	return out, nil
}

// webSnapshot shows a backup in the words of the API.
func webSnapshot(snap *snapshot.Snapshot) web.Snapshot {
	id := &snap.Identity
	out := web.Snapshot{
		Reference: snap.Ref, Kind: string(snap.Kind), Major: id.PGVersion,
		SystemIdentifier: strconv.FormatUint(id.SystemID, 10), Timeline: int64(id.Timeline),
		CheckpointLSN: lsn(id.CheckpointLSN), RedoLSN: lsn(id.RedoLSN),
		BackupStartedAt: timeOrNil(id.StartTime), ClusterState: id.State.String(), Label: id.LabelName,
		Bytes: snap.Size.Bytes, Files: int64(snap.Size.Files),
		Facts: []web.Fact{}, Warnings: []web.Warning{}, Changes: []web.Change{}, Settings: []web.Setting{},
	}
	for _, t := range snap.Tablespaces {
		out.Tablespaces = append(out.Tablespaces, web.Tablespace{OID: t.OID, Location: t.Original, Bytes: t.Bytes})
	}
	addChecks(&out, snap.Checks)
	for _, s := range shownSettings(snap) {
		out.Settings = append(out.Settings, web.Setting{
			Name: s.Name, Value: s.Value, File: s.File, Used: s.Kept, Becomes: s.Becomes, Effect: s.Effect,
		})
	}
	return out
}

// explanations say what a finding of that name means for what the page shows;
// the finding itself says what was found.
var explanations = map[string]string{
	"unlogged tables":   "PostgreSQL writes no log of unlogged tables and empties them when it recovers: here they are empty, and no backup of files can have their rows. Everything else is whole.",
	"manifest":          "Without the manifest it is not known whether every file of the backup is there and has its size. It opens; a missing file shows when it is read.",
	"wal":               "Recovery needs the log from where the backup began to where it ended. If some of it is missing, opening stops while recovering and says at which segment.",
	"preload libraries": "Libraries of the old host are not loaded into the session's server. Most only watch; tables stored in a way of their own need theirs.",
	"postmaster.pid":    "A server that writes to the files while they are read shows a mixture of moments. The backup itself is never written to.",
	"server":            "The files of a cluster are read only by the major version, and the page size, that wrote them.",
}

// refusals say what a finding means that stands against opening, where that is
// something else than a doubt of that name.
var refusals = map[string]string{
	"manifest": "The files are not those that were backed up. PostgreSQL would not notice before it reads one of them, and might show less than there was; so it is not opened.",
	"wal":      "Without this log the files cannot be brought to one moment, and would show a mixture of several; so it is not opened.",
}

// addChecks adds findings: what stands against opening is a warning, others are
// facts.
func addChecks(out *web.Snapshot, checks []snapshot.Check) {
	for _, c := range checks {
		switch c.Outcome {
		case snapshot.Warn, snapshot.Refuse:
			severity := web.SeverityWarning
			// Without a server that fits, opening it cannot succeed either.
			if c.Outcome == snapshot.Refuse || c.Name == "server" {
				severity = web.SeverityDanger
			}
			detail := explanations[c.Name]
			if text := refusals[c.Name]; text != "" && c.Outcome == snapshot.Refuse {
				detail = text
			}
			out.Warnings = append(out.Warnings, web.Warning{Code: c.Name, Severity: severity, Title: c.Detail, Detail: detail, Hint: c.Remedy})
		default:
			out.Facts = append(out.Facts, web.Fact{Name: c.Name, Value: c.Detail})
		}
	}
}

func lsn(l snapshot.LSN) string {
	if l == 0 {
		return ""
	}
	return l.String()
}

// moment says in words which moment of the cluster's life is shown.
func moment(snap *snapshot.Snapshot) string {
	id := &snap.Identity
	switch {
	case !id.StopTime.IsZero():
		return "end of the backup, " + id.StopTime.UTC().Format(time.DateTime) + " UTC"
	case id.EndLSN != 0:
		return fmt.Sprintf("end of the backup, LSN %s", id.EndLSN)
	case !id.StartTime.IsZero():
		return "end of the backup begun " + id.StartTime.UTC().Format(time.DateTime) + " UTC"
	case id.CheckpointLSN != 0:
		return fmt.Sprintf("end of its WAL, after LSN %s", id.CheckpointLSN)
	}
	return "end of its WAL"
}
