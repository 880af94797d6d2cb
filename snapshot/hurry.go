package snapshot

// Hurry ends waiting for a store that does not answer: reads that wait for one
// fail soon, now and later. It is for a session that is being closed, in whose
// kernel processes may hang on such a read. Reading a store that answers goes
// on.
func (s *Snapshot) Hurry() {
	for _, c := range s.closers {
		if h, ok := c.(interface{ Hurry() }); ok {
			h.Hurry()
		}
	}
}
