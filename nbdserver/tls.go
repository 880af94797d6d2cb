package nbdserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Names of the files in a folder of certificates, as nbdkit, qemu and libvirt
// have them.
const (
	caCertFile     = "ca-cert.pem"
	serverCertFile = "server-cert.pem"
	serverKeyFile  = "server-key.pem"
)

// LoadTLS makes a configuration for Options.TLS from a folder laid out as
// nbdkit's --tls-certificates has it: server-cert.pem and server-key.pem, and
// ca-cert.pem. With verifyClient, clients must present a certificate signed by
// that CA; otherwise ca-cert.pem may be absent.
func LoadTLS(dir string, verifyClient bool) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, serverCertFile), filepath.Join(dir, serverKeyFile))
	if err != nil {
		return nil, fmt.Errorf("nbd: server certificate: %w (expected %s and %s in %s)",
			err, serverCertFile, serverKeyFile, dir)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if !verifyClient {
		return cfg, nil
	}
	name := filepath.Join(dir, caCertFile)
	pem, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("nbd: certificate authority to verify clients with: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("nbd: certificate authority %s: %w", name, errors.New("no certificate in PEM form"))
	}
	cfg.ClientCAs = pool
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	return cfg, nil
}
