//go:build race

package cow

// raceEnabled spares the race detector what is only long, not concurrent.
const raceEnabled = true
