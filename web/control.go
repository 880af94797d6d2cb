package web

import (
	"context"
	"net"
)

type controlKey struct{}

// controlListener marks its connections, so that markControl knows them.
type controlListener struct{ net.Listener }

type controlConn struct{ net.Conn }

func (l controlListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return controlConn{c}, nil
}

func markControl(ctx context.Context, c net.Conn) context.Context {
	if _, ok := c.(controlConn); ok {
		return context.WithValue(ctx, controlKey{}, true)
	}
	return ctx
}

// IsControl says whether a request came over a control socket: from whoever may
// open it, which is root of the host, and not from the page.
func IsControl(ctx context.Context) bool { return isControl(ctx) }

func isControl(ctx context.Context) bool { return ctx.Value(controlKey{}) != nil }
