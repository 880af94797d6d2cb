package objects

import "context"

// A finder is a store that makes an object of what it listed, without asking
// for it again.
type finder interface {
	Found(ctx context.Context, name string, e Entry) (Object, error)
}

// Found returns the object that a store listed as e, of that version: reading
// it fails if it was replaced since. It costs no request where the store's list
// tells the version; elsewhere it is Open.
func Found(ctx context.Context, s Store, name string, e Entry) (Object, error) {
	if f, ok := s.(finder); ok && e.Tag != "" && !e.Dir {
		return f.Found(ctx, name, e)
	}
	return s.Open(ctx, name)
}
