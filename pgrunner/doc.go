// Package pgrunner starts, watches and stops a PostgreSQL on a directory that
// somebody else's PostgreSQL filled: the data directory of a backup, mounted
// from an overlay that is thrown away afterwards.
//
// # What it is given
//
// Config.Root is a directory with the data directory (data/) and, beside it,
// the tablespaces (tablespaces/OID/). Everything is written there or below
// Config.RunDir, nowhere else.
//
// # Order
//
//	Choose    pick Docker or local binaries; says why, and which user and
//	          group the files have to belong to
//	Start     prepare  own configuration, leftovers removed (prepare.go)
//	          recover  `postgres --single`: replays the WAL to the end of the
//	                   backup, creates the reader role, leaves a shutdown
//	                   checkpoint (setup.go)
//	          serve    standby.signal, then the postmaster: a hot standby that
//	                   is fed nothing, therefore read-only by its own rules
//	Stop      fast, then immediate, then kill
//
// Recovery runs in single-user mode because it is one process where a
// postmaster is seven, needs no superuser's name, no database that accepts
// connections and no line in pg_hba.conf; a superuser can thus never log in to
// the server that serves. With Config.Writable there is no standby.signal and
// the role is a superuser of the scratch server.
//
// # One container, or one set of namespaces, for both steps
//
// The sandbox's first process is a shell with a fixed script (init.sh) that
// takes its orders from standard input: "single DATABASE" runs the recovery
// and reports its exit code, "serve" replaces the shell by the postmaster. End
// of file before "serve" ends it: a snapview that dies half-way leaves nothing
// running. The script is the same in Docker and local, so are all paths, which
// the configuration therefore knows beforehand: /snapview/root is Config.Root
// and /snapview/run the part of Config.RunDir that PostgreSQL may write to.
//
// # Walls
//
// No network interface but an unconfigured loopback, no capability, no
// privilege gained by exec, a user id of its own, a file system on which only
// Root, the socket directory and /tmp and /dev/shm (in memory) can be written.
// Locally the sandbox sees of the host only its programs (/usr and the like,
// read-only); package pgrunner/internal/sandbox builds it. The socket's
// directory lies below a directory that only the caller's user may enter.
//
// A local server dies with the process that started it (parent-death signal
// on the first process of its PID namespace, whose end is that of all). A
// container outlives it; Reclaim removes what Config.Record was told of.
//
// docs/traps.md says row by row what is done about each trap of starting a
// stranger's data directory.
package pgrunner
