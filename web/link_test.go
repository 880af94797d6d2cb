package web_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/webtest"
)

// A place is a listener that has an address, and no connections.
type place struct{ net.TCPAddr }

func (p *place) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (p *place) Close() error              { return nil }
func (p *place) Addr() net.Addr            { return &p.TCPAddr }

// A link leads where a browser can go: on the host, or by the name that the
// server answers by.
func TestLoginURL_NamesWhereThePageIs(t *testing.T) {
	self := httptest.NewUnstartedServer(nil)
	self.StartTLS() // for example.com, 127.0.0.1 and ::1
	certified := &tls.Config{Certificates: self.TLS.Certificates}
	self.Close()
	for _, c := range []struct {
		ip    string
		port  int
		hosts []string
		tls   *tls.Config
		want  string
	}{
		{"127.0.0.1", 8080, nil, nil, "http://127.0.0.1:8080"},
		{"0.0.0.0", 8080, nil, nil, "http://127.0.0.1:8080"},
		{"::", 8080, nil, nil, "http://127.0.0.1:8080"},
		{"::1", 8080, nil, nil, "http://[::1]:8080"},
		{"10.1.2.3", 80, nil, nil, "http://10.1.2.3"},
		{"fd00::1", 443, nil, &tls.Config{}, "https://[fd00::1]"},
		{"0.0.0.0", 8443, []string{"backups.example.org", "b"}, &tls.Config{}, "https://backups.example.org:8443"},
		{"::", 443, []string{"b", "example.com"}, certified, "https://example.com"},
		{"10.1.2.3", 8443, []string{"b", "c"}, certified, "https://b:8443"},
		{"127.0.0.1", 8443, nil, certified, "https://127.0.0.1:8443"},
		// The proxy that has the name is not on our port.
		{"127.0.0.1", 8080, []string{"backups.example.org"}, nil, "http://127.0.0.1:8080"},
	} {
		server, err := web.New(web.Options{
			Sessions: &webtest.Sessions{}, AllowedHosts: c.hosts, TLS: c.tls,
			Listener: &place{net.TCPAddr{IP: net.ParseIP(c.ip), Port: c.port}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if link := server.NewLoginURL("/"); !strings.HasPrefix(link, c.want+"/auth?token=") {
			t.Errorf("listening on %s, port %d, named %q: %s, want %s", c.ip, c.port, c.hosts, link, c.want)
		}
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
