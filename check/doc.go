// Package check holds the report of a restore test: what was checked, how each
// check ended and how long it took, as values, as JSON and as JUnit XML.
//
// The checks themselves are below: package pages reads every page of every
// relation, package structure has the server check tables and indexes by
// amcheck. They take files and connections and know nothing of sessions;
// snapview verify gives them those of an opened backup.
package check
