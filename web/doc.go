// Package web serves snapview's page and the JSON API behind it.
//
// # Shape
//
// The package knows nothing of sessions but the interfaces Sessions and
// Session, which it declares and the program fills. openapi.yaml is the
// contract: the page's types are generated from it, and a test holds every
// answer against it.
//
//	TCP listener ---> guard (Host, Origin, header) ---> cookie ---> /api/v1, page
//	control socket -------------------------------------------> /api/v1
//
// The control socket lies in the session's folder with mode 0600: whoever may
// open it may do anything that the owner may.
//
// # Reading only
//
// The server behind a session has three walls of its own (role, standby,
// sandbox). On top of them a statement of a user goes through the gate
// (gate.go): a connection of its own, BEGIN READ ONLY with a first SELECT so
// that the transaction cannot be made writable any more, Prepare by the
// extended protocol (one statement, PostgreSQL's own grammar), refused when it
// describes no result columns, and then executed once. The deadline and the
// row limit are kept here, not in settings that a function could change. The
// connection is closed after it, whatever happened. No keyword is ever looked
// for.
//
// What the gate does not stop, the other walls must: functions that a
// superuser may call (the reader is none), and set_config on settings of the
// connection that is thrown away. The reader is a member of pg_read_all_data
// and so can select the password hashes in pg_authid; only what made the server
// can have taken them away before (pgrunner.Config.HidePasswords). What refuses
// each of some hundred attempts stands in webtest/attempts.json.
//
// # Streaming
//
// Values travel as the server's own text and are written into JSON by hand,
// in batches that are flushed at 500 rows, 256 KiB or 100 ms, so that a result
// of any length needs the memory of one batch. An error after the first byte
// is part of the stream: the end frame of a query, the last line and a trailer
// of an export. A download of a browser, which knows neither, is broken off, and
// the list of downloads has the reason.
//
// # Known limits
//
// A single value is held in memory as a whole, up to Options.MaxValueBytes;
// beyond it the connection is closed and the error says value-too-large.
package web
