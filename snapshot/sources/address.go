package sources

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/s3"
	"github.com/snapview/snapview/snapshot/objects/web"
)

// isAddress reports whether a reference is an address of another host's store
// and not a path.
func isAddress(ref string) bool {
	scheme, _, ok := strings.Cut(ref, "://")
	return ok && !strings.Contains(scheme, "/")
}

// splitAddress takes the name of a snapshot off an address.
func splitAddress(ref string) (place, selected string) {
	place, selected, _ = strings.Cut(ref, "#")
	return place, selected
}

// Redact returns a reference as it may be shown and recorded: without the
// password and the signature that an address may have in it.
func Redact(ref string) string {
	if !isAddress(ref) {
		return ref
	}
	place, selected := splitAddress(ref)
	if strings.HasPrefix(place, "s3://") && !strings.Contains(place, "@") {
		return ref // its parameters are no secrets
	}
	if selected != "" {
		return web.Redact(place) + "#" + selected
	}
	return web.Redact(place)
}

// Reveal returns what to open a reference by that List or Redact has shown:
// with the secrets of the store's address, if it is on the store's host. Others
// are returned as they are.
func Reveal(store, shown string) string {
	if !isAddress(store) || !isAddress(shown) || Redact(store) == store {
		return shown
	}
	from, err := url.Parse(store)
	if err != nil {
		return shown
	}
	place, selected := splitAddress(shown)
	to, err := url.Parse(place)
	if err != nil || to.Scheme != from.Scheme || to.Host != from.Host || to.User != nil {
		return shown
	}
	to.User, to.RawQuery = from.User, from.RawQuery
	if to.Fragment = ""; selected != "" {
		return to.String() + "#" + selected
	}
	return to.String()
}

// A located is where an address leads: a store as large as the address's
// credentials reach, and a name in it.
type located struct {
	root   string // tells stores from each other
	open   func(*snapshot.Counter) (objects.Store, error)
	name   string
	folder bool // the address says that it is one
}

// locate takes an address apart.
func locate(address string) (l located, err error) {
	scheme, _, _ := strings.Cut(address, "://")
	switch scheme {
	case "s3":
		at, err := s3.Parse(address)
		if err != nil {
			return l, err
		}
		if l.name = at.Key; l.name == "" {
			l.name = "."
		}
		place, _, _ := strings.Cut(address, "?")
		l.folder = at.Key == "" || strings.HasSuffix(place, "/")
		at.Key = ""
		l.root = fmt.Sprintf("%+v", at)
		l.open = func(c *snapshot.Counter) (objects.Store, error) { return s3.Open(at, c) }
	case "http", "https":
		host, name, folder, err := web.Split(address)
		if err != nil {
			return l, err
		}
		l.root, l.name, l.folder = host, name, folder
		l.open = func(c *snapshot.Counter) (objects.Store, error) { return web.Open(host, c) }
	default:
		return l, snapshot.Errorf(snapshot.ErrUnsupported, "%s: this build opens s3:// and https:// addresses, not %s://; mount the store (rclone, s3fs) or copy the backup here", Redact(address), scheme)
	}
	return l, nil
}
