package s3

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"gopkg.in/ini.v1"
)

// profile is what ~/.aws/config says beside credentials.
type profile struct {
	region    string
	endpoint  string
	pathStyle bool
}

// readProfile reads the profile that AWS_PROFILE names. A file that is not
// there or cannot be read says nothing.
func readProfile() (p profile) {
	file := os.Getenv("AWS_CONFIG_FILE")
	if file == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return p
		}
		file = filepath.Join(home, ".aws", "config")
	}
	conf, err := ini.LoadSources(ini.LoadOptions{Loose: true, AllowNestedValues: true, SkipUnrecognizableLines: true}, file)
	if err != nil {
		return p
	}
	section := "default"
	if name := cmp.Or(os.Getenv("AWS_PROFILE"), "default"); name != "default" {
		section = "profile " + name
	}
	s, err := conf.GetSection(section)
	if err != nil {
		return p
	}
	p.region, p.endpoint = s.Key("region").String(), s.Key("endpoint_url").String()
	for _, line := range s.Key("s3").NestedValues() {
		if line == "addressing_style = path" || line == "addressing_style=path" {
			p.pathStyle = true
		}
	}
	return p
}

// metadataTimeout bounds asking a cloud's metadata service, which most
// machines do not have.
const metadataTimeout = 5 * time.Second

// secrets returns where credentials come from, in the order of the AWS tools:
// environment, files (also by credential_process and single sign-on), a role
// of the machine, the container or the web identity. Without any, requests are
// not signed, which public buckets take.
func secrets() *credentials.Credentials {
	return credentials.New(&chain{providers: []provider{
		{"the environment", &credentials.EnvAWS{}, false},
		{"profile " + cmp.Or(os.Getenv("AWS_PROFILE"), "default"), &credentials.FileAWSCredentials{}, os.Getenv("AWS_PROFILE") != ""},
		{"the role", role(), os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" || os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != ""},
	}})
}

func role() credentials.Provider {
	if os.Getenv("AWS_EC2_METADATA_DISABLED") == "true" && os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") == "" {
		return &credentials.Static{Value: credentials.Value{SignerType: credentials.SignatureAnonymous}}
	}
	// The metadata service is on the link: what does not answer is not there.
	t := &http.Transport{Proxy: nil, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext, ResponseHeaderTimeout: 2 * time.Second}
	client := &http.Client{Transport: t, Timeout: metadataTimeout}
	if os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" {
		client = &http.Client{Timeout: 30 * time.Second} // a service on the net
	}
	return &credentials.IAM{Client: client}
}

// A provider is one place of credentials. The failure of one that was asked
// for by name is an error; the others may have nothing.
type provider struct {
	name   string
	from   credentials.Provider
	wanted bool
}

// A secretError is one of finding credentials.
type secretError struct{ error }

func (e secretError) Unwrap() error { return e.error }

// chain is minio-go's Chain, but does not go on without a signature when
// credentials that were asked for cannot be had: the store would only say that
// access is denied.
type chain struct {
	providers []provider
	current   credentials.Provider
}

func (c *chain) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	for _, p := range c.providers {
		v, err := p.from.RetrieveWithCredContext(cc)
		if err != nil && p.wanted {
			return v, secretError{fmt.Errorf("no credentials from %s: %w", p.name, err)}
		}
		if err == nil && v.AccessKeyID != "" && v.SecretAccessKey != "" {
			c.current = p.from
			return v, nil
		}
	}
	c.current = &credentials.Static{}
	return credentials.Value{SignerType: credentials.SignatureAnonymous}, nil
}

func (c *chain) Retrieve() (credentials.Value, error) { return c.RetrieveWithCredContext(nil) }

func (c *chain) IsExpired() bool { return c.current == nil || c.current.IsExpired() }
