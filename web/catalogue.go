package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// A Catalogue is what may be opened from the page: the snapshots of the stores
// that the program was told of. Nothing else can be opened through the API.
// All methods may be called concurrently.
type Catalogue interface {
	// List returns what the stores held when they were looked at last,
	// the newest first, and how that went. It does not wait for a store.
	List(ctx context.Context) (CatalogueList, error)

	// Refresh looks at the stores again and returns when it has.
	Refresh(ctx context.Context) error

	// Preflight says what a snapshot of the catalogue is and whether it can
	// be opened, without opening it. chain names other snapshots of the
	// catalogue that an incremental one builds on, if they do not lie beside
	// it. ErrNotFound if one is not in the catalogue.
	Preflight(ctx context.Context, reference string, chain []string) (Snapshot, error)

	// Open begins to open a snapshot of the catalogue and returns the session,
	// opening. ErrNotFound if it is not in the catalogue, ErrConflict when no
	// more sessions are allowed, ErrInvalid for options beyond the limits.
	Open(ctx context.Context, opts OpenOptions) (Session, error)
}

// A CatalogueList is the catalogue at one time.
type CatalogueList struct {
	Items  []CatalogueEntry `json:"items"`
	Stores []Store          `json:"stores"`
	Limits OpenLimits       `json:"limits"`
}

// A Store is one of the places that the catalogue is made of.
type Store struct {
	Reference string     `json:"reference"`
	CheckedAt *time.Time `json:"checkedAt,omitempty"` // nil: being looked at for the first time
	Millis    float64    `json:"ms,omitempty"`        // that took
	Snapshots int        `json:"snapshots"`
	Problem   string     `json:"problem,omitempty"`
	Skipped   []string   `json:"skipped,omitempty"` // folders that could not be looked into, and why
}

// A CatalogueEntry is a snapshot as far as its store tells.
type CatalogueEntry struct {
	Reference        string     `json:"reference"`
	Store            string     `json:"store"`
	Kind             string     `json:"kind"`
	Label            string     `json:"label"`
	Type             string     `json:"type,omitempty"`
	Time             *time.Time `json:"time,omitempty"`
	Bytes            int64      `json:"bytes,omitempty"`
	StoredBytes      int64      `json:"storedBytes,omitempty"`
	Major            int        `json:"major,omitempty"`
	SystemIdentifier string     `json:"systemIdentifier,omitempty"`
	Timeline         int64      `json:"timeline,omitempty"`
	StartLSN         string     `json:"startLSN,omitempty"`
	StopLSN          string     `json:"stopLSN,omitempty"`
	Parent           string     `json:"parent,omitempty"`
	Problem          string     `json:"problem,omitempty"`
}

// OpenLimits are what a session that is opened through the API may ask for;
// zero means no limit.
type OpenLimits struct {
	Sessions        int   `json:"sessions,omitempty"`
	MaxOverlayBytes int64 `json:"maxOverlayBytes,omitempty"`
	MaxTTL          int64 `json:"maxTTLSeconds,omitempty"`
	DefaultTTL      int64 `json:"defaultTTLSeconds,omitempty"`
	Writable        bool  `json:"writable"` // scratch servers are allowed
}

// OpenOptions say what to open and how. Zero values mean the program's own.
type OpenOptions struct {
	Reference             string   `json:"reference"`
	Chain                 []string `json:"chain,omitempty"` // as for Preflight
	Name                  string   `json:"name,omitempty"`
	Database              string   `json:"database,omitempty"`
	Writable              bool     `json:"writable,omitempty"`
	MaxOverlayBytes       int64    `json:"maxOverlayBytes,omitempty"`
	TTLSeconds            int64    `json:"ttlSeconds,omitempty"`
	IdleSeconds           int64    `json:"idleSeconds,omitempty"`
	AssumeCrashConsistent bool     `json:"assumeCrashConsistent,omitempty"`

	// Owner is who asks, as the server knows him; it is not in the request.
	Owner string `json:"-"`
}

func (s *Server) catalogue() (Catalogue, error) {
	if s.opts.Catalogue == nil {
		return nil, problem(http.StatusNotImplemented, "not-supported", "this snapview was not told of any stores").
			withHint("snapview serve --store DIR shows the backups in DIR and opens them from the page")
	}
	return s.opts.Catalogue, nil
}

func (s *Server) listCatalogue(c echo.Context) error {
	catalogue, err := s.catalogue()
	if err != nil {
		return err
	}
	list, err := catalogue.List(c.Request().Context())
	if err != nil {
		return err
	}
	list.Items, list.Stores = notNil(list.Items), notNil(list.Stores)
	return c.JSON(http.StatusOK, list)
}

func (s *Server) refreshCatalogue(c echo.Context) error {
	catalogue, err := s.catalogue()
	if err != nil {
		return err
	}
	if err := catalogue.Refresh(c.Request().Context()); err != nil {
		return err
	}
	return s.listCatalogue(c)
}

func (s *Server) getPreflight(c echo.Context) error {
	catalogue, err := s.catalogue()
	if err != nil {
		return err
	}
	reference := c.QueryParam("reference")
	if reference == "" {
		return badRequest("the parameter reference is missing")
	}
	chain := c.QueryParams()["chain"]
	if err := checkChain(chain); err != nil {
		return err
	}
	snapshot, err := catalogue.Preflight(c.Request().Context(), reference, chain)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, complete(snapshot))
}

func (s *Server) openSession(c echo.Context) error {
	catalogue, err := s.catalogue()
	if err != nil {
		return err
	}
	var opts OpenOptions
	if err := readBody(c, &opts); err != nil {
		return err
	}
	switch {
	case opts.Reference == "":
		return badRequest("reference is missing")
	case opts.MaxOverlayBytes < 0, opts.TTLSeconds < 0, opts.IdleSeconds < 0:
		return badRequest("a limit is negative")
	case len(opts.Name) > 200:
		return badRequest("name is longer than 200 bytes")
	}
	if err := checkChain(opts.Chain); err != nil {
		return err
	}
	opts.Owner = userOf(c)
	session, err := catalogue.Open(c.Request().Context(), opts)
	if err != nil {
		return err
	}
	kind := "to read"
	if opts.Writable {
		kind = "writable"
	}
	s.auditAct(c, session.Info(), "open", kind)
	return c.JSON(http.StatusCreated, info(session))
}

// maxChain is the longest chain of backups that a client may name.
const maxChain = 1000

func checkChain(chain []string) error {
	if len(chain) > maxChain {
		return badRequest("chain has more than " + strconv.Itoa(maxChain) + " backups")
	}
	return nil
}
