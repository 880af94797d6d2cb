package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"

	"github.com/snapview/snapview/session"
)

// A control speaks the API of a running session over the socket in its folder,
// or that of a server over its own: what the page can do, the command line can
// do, in the same words.
type control struct {
	id   string
	base string // what paths are below
	name string // for messages
	http *http.Client
}

// dial finds a session by its id, a prefix of it, or, when none is given, the
// only one that is open.
func (a *app) dial(id string) (*control, error) {
	found, err := session.Find(a.stateRoot(), id)
	if err != nil {
		return nil, err
	}
	return controlOf(found.ID, found.ControlSocket()), nil
}

// controlOf speaks to the session of that id at its control socket.
func controlOf(id, socket string) *control { return sessionAt(id, clientOf(socket)) }

// sessionAt speaks to the session of that id by a client of its process.
func sessionAt(id string, client *http.Client) *control {
	return &control{id: id, base: "/api/v1/sessions/" + url.PathEscape(id), name: "session " + id, http: client}
}

// clientOf speaks HTTP over a unix socket, whatever host an address names.
func clientOf(socket string) *http.Client {
	dialer := net.Dialer{}
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
	}}
}

// problem is the part of an RFC 9457 answer that people read.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// An answer is the body of a response, and the trailers after it.
type answer struct{ *http.Response }

func (a answer) Read(p []byte) (int, error) { return a.Body.Read(p) }
func (a answer) Close() error               { return a.Body.Close() }

// Trailer returns what was said after the body, once that was read to its end.
func (a answer) Trailer(name string) string { return a.Response.Trailer.Get(name) }

// open sends a request and returns the answer's body.
func (c *control) open(ctx context.Context, method, path string, body any) (answer, error) {
	return c.openWith(ctx, method, path, body, nil)
}

// openWith is open with headers of its own.
func (c *control) openWith(ctx context.Context, method, path string, body any, header http.Header) (answer, error) {
	var payload io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		payload = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+c.base+path, payload)
	if err != nil {
		return answer{}, err
	}
	maps.Copy(req.Header, header)
	req.Header.Set("X-Snapview", "1")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var refused *net.OpError
		if errors.As(err, &refused) {
			return answer{}, fmt.Errorf("%w: %s does not answer (it is opening, or its process died: snapview gc cleans up)", session.ErrNoSession, c.id)
		}
		return answer{}, err
	}
	if resp.StatusCode < 300 {
		return answer{resp}, nil
	}
	defer resp.Body.Close()
	var p problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p); err != nil || p.Title == "" {
		return answer{}, fmt.Errorf("%s: %s", c.name, resp.Status)
	}
	if p.Detail == "" {
		p.Detail = p.Title
	}
	return answer{}, fmt.Errorf("%s: %s", c.name, p.Detail)
}

// call is open for answers that are one JSON value.
func (c *control) call(ctx context.Context, method, path string, body, into any) error {
	r, err := c.open(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer r.Close()
	if into == nil {
		_, err = io.Copy(io.Discard, r)
		return err
	}
	if err := json.NewDecoder(r).Decode(into); err != nil {
		return fmt.Errorf("%s: reading the answer: %w", c.name, err)
	}
	return nil
}
