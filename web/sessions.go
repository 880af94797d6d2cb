package web

import (
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"

	"github.com/labstack/echo/v4"
)

//go:embed openapi.yaml
var contract []byte

func (v Version) withDefaults() Version {
	v.API, v.Go = "v1", runtime.Version()
	if v.Version == "" {
		v.Version = "devel"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
			v.Version = info.Main.Version
		}
	}
	return v
}

func (s *Server) getHealth(c echo.Context) error {
	health := map[string]string{"status": "ok"}
	if s.opts.AuditState != nil {
		if _, why := s.opts.AuditState(); why != nil {
			// Still 200: the server answers, and starting it anew frees no disk. Why
			// is in its log, for everybody may ask here.
			health["status"], health["detail"] = "degraded", "the audit log cannot be written; statements go on"
		}
	}
	return c.JSON(http.StatusOK, health)
}

func (s *Server) getVersion(c echo.Context) error {
	return c.JSON(http.StatusOK, s.opts.Version)
}

func (s *Server) getContract(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", contract)
}

// param returns a part of the path. The router hands it out as it was sent when
// the path holds escapes that matter, such as a slash within a name.
func param(c echo.Context, name string) string {
	v := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return v
	}
	plain, err := url.PathUnescape(v)
	if err != nil {
		return v
	}
	return plain
}

// session returns the session that the path names.
func (s *Server) session(c echo.Context) (Session, error) {
	id := param(c, "id")
	session, err := s.opts.Sessions.Get(c.Request().Context(), id)
	if errors.Is(err, ErrNotFound) {
		return nil, problem(http.StatusNotFound, "session-not-found", "there is no session "+id)
	}
	return session, err
}

// info returns what the API shows of a session; lists are never null.
func info(session Session) Info {
	i := session.Info()
	i.Phases = notNil(i.Phases)
	return i
}

func notNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// items is the form of every list that is not paged.
type items[T any] struct {
	Items []T `json:"items"`
}

func (s *Server) listSessions(c echo.Context) error {
	list, err := s.opts.Sessions.List(c.Request().Context())
	if err != nil {
		return err
	}
	out := struct {
		items[Info]
		Totals *Totals `json:"totals,omitempty"`
	}{items[Info]{Items: make([]Info, 0, len(list))}, s.opts.Sessions.Totals(c.Request().Context())}
	for _, session := range list {
		out.Items = append(out.Items, info(session))
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) getSession(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, info(session))
}

// closeSession ends our own statements first, so that the server under them
// has nobody to wait for.
func (s *Server) closeSession(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	id := session.Info().ID
	s.queries.cancelSession(id, errClosing)
	s.first.closeSession(id)
	s.pools.closeSession(id)
	if err := session.Close(c.Request().Context()); err != nil {
		return err
	}
	s.auditAct(c, session.Info(), "close", "")
	return c.JSON(http.StatusAccepted, info(session))
}

func (s *Server) getSnapshot(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	snapshot, err := session.Snapshot(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, complete(snapshot))
}

// complete makes the lists of a snapshot that is shown empty rather than null.
func complete(s Snapshot) Snapshot {
	s.Facts, s.Warnings = notNil(s.Facts), notNil(s.Warnings)
	s.Changes, s.Settings = notNil(s.Changes), notNil(s.Settings)
	return s
}

// maxBody is more than the longest statement of the contract, escaped.
const maxBody = 32 << 20

// readBody reads a request's JSON strictly: one value, no unknown names.
func readBody(c echo.Context, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(c.Response(), c.Request().Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			return problem(http.StatusRequestEntityTooLarge, "too-large", "the body is longer than 32 MiB")
		}
		return badRequest("the body is not what it should be: " + err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return badRequest("something follows the JSON of the body")
	}
	return nil
}
