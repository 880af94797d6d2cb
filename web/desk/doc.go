// Package desk keeps what people write on the page: the tabs that are open in
// the SQL editor, the statements they saved, and those they ran. It outlives
// the session, the program and the browser, whose own store is bound to a port
// that is another one at every `snapview open`.
//
// # Whose
//
// A desk belongs to one person: a user of a shared server, or the user of the
// host who runs the program. Nobody sees another one's.
//
// # Where
//
//	DIR/host-NAME/queries.json        what NAME saved
//	DIR/host-NAME/history.ndjson      what he ran, one entry a line, oldest first
//	DIR/host-NAME/tabs/HASH.json      his tabs over the backup with that hash
//	DIR/user-NAME/...                 the same for a user of a shared server
//
// Statements hold values of rows, so folders have mode 0700 and files 0600.
// Tabs belong to the backup and not to the session: they are there again when
// it is opened again, and in every fork. Store with an empty DIR keeps all of it
// in memory.
//
// # Concurrency
//
// Several processes may share a folder: every change is made under a lock
// (flock) of the person's folder, files are replaced by renaming, and history is
// appended in one write. A tab is changed by itself, so that two windows over
// one backup do not undo each other's work.
//
// # Bounds
//
// Everything that a client sends is bounded in size and number (limits.go); the
// history forgets its oldest entries.
package desk
