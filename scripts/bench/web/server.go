package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	_ "net/http/pprof"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/webtest"
)

// serve is the child: the web server over one session whose databases are those
// of the server that dsn names. It prints the login link and the address of its
// profiles.
func serve(ctx context.Context, dsn string) error {
	to, err := url.Parse(dsn)
	if err != nil {
		return err
	}
	sessions := &webtest.Sessions{}
	sessions.Add(webtest.NewSession("bench", func(db string) string {
		u := *to
		u.Path = "/" + db
		return u.String()
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server, err := web.New(web.Options{Sessions: sessions, Listener: l})
	if err != nil {
		return err
	}
	profiles, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(profiles, nil) //nolint:errcheck,gosec // it ends with the process
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	fmt.Println(server.NewLoginURL("/s/bench"), profiles.Addr())
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(server.Shutdown(ending), <-served)
}

// A server is the child as its parent sees it.
type server struct {
	cmd      *exec.Cmd
	login    string // works once
	base     string // http://127.0.0.1:port
	profiles string
	client   *http.Client
	cookie   *http.Cookie
}

func startServer(ctx context.Context, dsn string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-serve", dsn)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the server did not start: %w", err), s.stop())
	}
	s.login, s.profiles, _ = strings.Cut(strings.TrimSpace(line), " ")
	at, err := url.Parse(s.login)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.base = at.Scheme + "://" + at.Host
	if err := s.logIn(at); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// logIn takes the one login link; the browser gets the cookie of it.
func (s *server) logIn(at *url.URL) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	s.client = &http.Client{Jar: jar}
	res, err := s.client.Get(s.login)
	if err != nil {
		return err
	}
	res.Body.Close()
	cookies := jar.Cookies(at)
	if len(cookies) != 1 {
		return fmt.Errorf("the login gave %d cookies", len(cookies))
	}
	s.cookie = cookies[0]
	return nil
}

func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil && s.cmd.ProcessState.ExitCode() != 0 {
		return fmt.Errorf("the server: %w", err)
	}
	return nil
}

// forgetPeak makes the kernel count the peak of the memory anew (proc(5),
// clear_refs).
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// peak returns the peak of a process' resident memory in bytes.
func peak(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmHWM in /proc")
}

// takeProfile writes a processor profile of the server, of so many seconds.
func (s *server) takeProfile(seconds int, file string) error {
	res, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.profiles, seconds))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, res.Body)
	return errors.Join(err, out.Close())
}
