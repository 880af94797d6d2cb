package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/auditlog"
)

// teamFlags are those of a server that several people share.
type teamFlags struct {
	tokenFile     string
	userHeader    string
	proxies       []string
	hosts         []string
	cert, key     string
	auditLog      string
	metricsListen string
	statements    int
}

func (f *teamFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.tokenFile, "auth-token-file", "", "people who may log in: a file with lines of `NAME TOKEN`, readable by root alone")
	flags.StringVar(&f.userHeader, "auth-header", "", "believe this header of a reverse proxy as the user's name, such as X-Forwarded-User")
	flags.StringArrayVar(&f.proxies, "trusted-proxy", nil, "address or network of that proxy (repeatable; default loopback)")
	flags.StringArrayVar(&f.hosts, "allowed-host", nil, "another name that the page and the metrics may be reached by, such as the proxy's (repeatable); links to a page that the network reaches have the first")
	flags.StringVar(&f.cert, "tls-cert", "", "certificate chain in PEM: the page is served by HTTPS")
	flags.StringVar(&f.key, "tls-key", "", "its private key in PEM")
	flags.StringVar(&f.auditLog, "audit-log", "", "append a line of JSON for every statement that is run on the page, by psql or another client, or by a command: who, when, what, rows, bytes; while it cannot be written, statements go on, and that is said, counted and shown by /healthz")
	flags.StringVar(&f.metricsListen, "metrics-listen", "", "address on which /metrics answers Prometheus, without a login: a loopback address, or one of a network on which only those come here who may read it")
	flags.IntVar(&f.statements, "max-statements-per-user", web.DefaultStatementsPerUser, "how many statements and exports one of these people may run at once, over all sessions")
	c.MarkFlagsRequiredTogether("tls-cert", "tls-key")
}

// A team is what the flags ask for, open. Close ends it.
type team struct {
	users   web.Users
	tls     *tls.Config
	audit   func(web.Statement)
	closers []func() error

	auditState func() (lost int64, why error) // nil without an audit log
}

func (t *team) Close() error {
	var errs []error
	for _, c := range t.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// open reads the files that the flags name. complain is told when the audit log
// cannot be written.
func (f *teamFlags) open(complain func(error)) (*team, error) {
	t := &team{users: web.Users{Header: f.userHeader}}
	var err error
	for _, host := range f.hosts {
		if _, _, err := net.SplitHostPort(host); err == nil || host == "" || strings.ContainsAny(host, "/ ") {
			return nil, usageError{fmt.Errorf("--allowed-host %q: name the host alone, without scheme and port", host)}
		}
	}
	if f.tokenFile != "" {
		if t.users.Tokens, err = readTokens(f.tokenFile); err != nil {
			return nil, err
		}
	}
	if len(f.proxies) == 0 {
		f.proxies = []string{"127.0.0.0/8", "::1"}
	}
	for _, p := range f.proxies {
		prefix, err := parsePrefix(p)
		if err != nil {
			return nil, usageError{fmt.Errorf("--trusted-proxy %q: %w", p, err)}
		}
		t.users.TrustedProxies = append(t.users.TrustedProxies, prefix)
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("the certificate %s with the key %s: %w", f.cert, f.key, err)
		}
		t.tls = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	if f.auditLog != "" {
		log, err := auditlog.Open(f.auditLog, complain)
		if err != nil {
			return nil, err
		}
		t.audit = func(s web.Statement) { log.Append(s) }
		t.auditState = log.State
		t.closers = append(t.closers, log.Close)
	}
	return t, nil
}

// readTokens reads a file of users.
func readTokens(name string) (map[string]string, error) {
	const shortest = 16
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.Mode().Perm()&0o077 != 0 {
		return nil, usageError{fmt.Errorf("%s is readable by others than its owner: chmod 600 %s", name, name)}
	}
	tokens := map[string]string{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		user, token, ok := strings.Cut(line, " ")
		token = strings.TrimSpace(token)
		switch {
		case !ok || token == "":
			return nil, usageError{fmt.Errorf("%s, line %d: not NAME TOKEN", name, n)}
		case len(token) < shortest:
			return nil, usageError{fmt.Errorf("%s, line %d: the token of %s has fewer than %d characters (openssl rand -hex 24 makes one)", name, n, user, shortest)}
		case tokens[token] != "":
			return nil, usageError{fmt.Errorf("%s, line %d: %s and %s have the same token", name, n, tokens[token], user)}
		}
		tokens[token] = user
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(tokens) == 0 {
		return nil, usageError{fmt.Errorf("%s has no line of NAME TOKEN", name)}
	}
	return tokens, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

// serveMetrics answers Prometheus until the team is closed.
func (t *team) serveMetrics(address string, handler http.Handler) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", handler)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(l) //nolint:errcheck // it ends with Close
	t.closers = append(t.closers, server.Close)
	return nil
}
