// Package objectstest runs a real S3 server for tests and benchmarks, and puts
// faults between it and its clients.
package objectstest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/snapview/snapview/snapshot/snapshottest"
)

// Credentials of the server.
const (
	AccessKey = "snapview-test"
	SecretKey = "snapview-test-secret"
	Region    = "us-east-1"
)

// A Server is a running S3 server (versitygw on a directory). What lies in a
// directory below Dir is the objects of a bucket of that name.
type Server struct {
	Address string // host:port
	Dir     string
	cmd     *exec.Cmd
	log     bytes.Buffer
}

// Program returns where the server's program is, which scripts/s3server.sh
// builds: SNAPVIEW_S3SERVER, or below top, the module's root.
func Program(top string) string {
	if p := os.Getenv("SNAPVIEW_S3SERVER"); p != "" {
		return p
	}
	return filepath.Join(top, "build", "tools", "versitygw")
}

// Start runs the program on dir and returns when it answers. What it keeps
// beside the objects goes to side.
func Start(program, dir, side string) (*Server, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Address: free.Addr().String(), Dir: dir}
	if err := free.Close(); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(program, "--quiet", "--keep-alive", "--port", s.Address, "posix", "--sidecar", side, "--default-etag", "0", dir)
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.Address)
		if err == nil {
			return s, conn.Close()
		}
		if time.Now().After(deadline) {
			s.Stop()
			return nil, fmt.Errorf("%s does not answer: %w\n%s", program, err, s.log.String())
		}
	}
}

// Stop ends the server.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed
}

// StartS3 runs a server on a new directory until the test ends, and sets the
// environment so that its credentials are found and no others. Without the
// program the test is skipped.
func StartS3(t testing.TB) *Server {
	t.Helper()
	program := Program(snapshottest.ModuleRoot(t))
	_, err := os.Stat(program)
	snapshottest.Need(t, err == nil, "an S3 server: scripts/s3server.sh builds it ("+program+")")
	s, err := Start(program, t.TempDir(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	Environment(t, "http://"+s.Address)
	return s
}

// Environment sets what a client of the endpoint finds in the environment.
func Environment(t testing.TB, endpoint string) {
	for k, v := range map[string]string{
		"AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION": Region, "AWS_ENDPOINT_URL": endpoint, "AWS_ENDPOINT_URL_S3": "",
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(k, v)
	}
}

// Bucket makes the files of a directory the objects of a bucket.
func (s *Server) Bucket(t testing.TB, name, dir string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(s.Dir, name), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
}
