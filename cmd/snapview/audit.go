package main

import (
	"slices"
	"strings"
	"time"

	"github.com/snapview/snapview/pgrunner/pgwatch"
	"github.com/snapview/snapview/web"
)

// queryCanceled is the SQLSTATE of a statement that was cancelled, or whose time
// was up.
const queryCanceled = "57014"

// auditClients gives statements of psql and other clients of the sessions' servers
// to the audit log, in the words of the page's. Who ran one cannot be told: a
// session has one login. The record has the client's address, what it says about
// itself, and whose session it is.
func (h *house) auditClients(audit func(web.Statement)) func(id, remote string, st pgwatch.Statement) {
	return func(id, remote string, st pgwatch.Statement) {
		record := clientStatement(st)
		record.Session, record.Remote = id, remote
		views := h.all()
		if i := slices.IndexFunc(views, func(v *sessionView) bool { return v.ID() == id }); i >= 0 {
			record.Owner, record.Reference = views[i].owner, views[i].Session.Info().Ref
		}
		audit(record)
	}
}

func clientStatement(st pgwatch.Statement) web.Statement {
	record := web.Statement{
		Time: st.Time.UTC(), Via: web.ViaPsql, Role: st.Role, Application: st.Application, Database: st.Database,
		Kind: string(st.Kind), SQL: strings.ToValidUTF8(st.SQL, "\uFFFD"), Rows: st.Rows, Bytes: st.Bytes, BytesIn: st.BytesIn,
		Millis: float64(st.Took) / float64(time.Millisecond), Outcome: "ok", Error: st.Failure,
	}
	if st.Commands > 1 {
		record.Commands = st.Commands
	}
	switch {
	case st.Ended:
		record.Outcome, record.Error = "cancelled", "the connection ended before the answer did"
	case st.SQLState == queryCanceled:
		record.Outcome = "cancelled"
	case st.Failure != "":
		record.Outcome = "failed"
	}
	return record
}
