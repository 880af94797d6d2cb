package s3

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// An Address says where objects lie in a bucket.
type Address struct {
	Bucket    string
	Key       string // an object or a common prefix; empty for the whole bucket
	Endpoint  string // scheme://host[:port]; empty for AWS
	Region    string // empty: ask
	PathStyle bool   // bucket in the path, not in the host's name
}

// Parse takes an address apart:
//
//	s3://bucket[/key][?endpoint=https://host:port&region=r&path-style=1]
//
// What it does not say comes from where the AWS tools look for it: the
// variables AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION and
// AWS_DEFAULT_REGION, then the profile (AWS_PROFILE) in ~/.aws/config.
// Endpoints other than AWS's have the bucket in the path unless path-style=0.
func Parse(address string) (Address, error) {
	var a Address
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme != "s3":
		return a, fmt.Errorf("not an address of an object store: write s3://BUCKET/KEY?endpoint=URL")
	case u.User != nil || u.Host == "" || u.Port() != "":
		return a, fmt.Errorf("s3://%s: write s3://BUCKET/KEY; keys and passwords come from the environment or ~/.aws/credentials, an endpoint from ?endpoint=URL", u.Hostname())
	}
	a.Bucket = u.Host
	if err := s3utils.CheckValidBucketName(a.Bucket); err != nil {
		return a, fmt.Errorf("%s: %w", a, err)
	}
	if key := path.Clean("/" + u.Path); key != "/" {
		a.Key = key[1:]
	}
	style := ""
	for name, v := range u.Query() {
		switch name {
		case "endpoint":
			a.Endpoint = v[0]
		case "region":
			a.Region = v[0]
		case "path-style":
			style = v[0]
		default:
			return a, fmt.Errorf("%s: unknown parameter %q; there are endpoint, region and path-style", a, name)
		}
	}
	conf := readProfile()
	for _, v := range []string{os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), conf.endpoint} {
		if a.Endpoint == "" {
			a.Endpoint = v
		}
	}
	for _, v := range []string{os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"), conf.region} {
		if a.Region == "" {
			a.Region = v
		}
	}
	a.PathStyle = a.Endpoint != "" || conf.pathStyle
	if style != "" {
		if a.PathStyle, err = strconv.ParseBool(style); err != nil {
			return a, fmt.Errorf("%s: path-style is 0 or 1", a)
		}
	}
	return a, a.checkEndpoint()
}

func (a Address) checkEndpoint() error {
	if a.Endpoint == "" {
		return nil
	}
	e, err := url.Parse(a.Endpoint)
	if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil || strings.Trim(e.Path, "/") != "" || e.RawQuery != "" {
		return fmt.Errorf("%s: the endpoint is not of the form https://HOST[:PORT]", a)
	}
	return nil
}

// String gives the bucket and the key.
func (a Address) String() string {
	if a.Key == "" {
		return "s3://" + a.Bucket
	}
	return "s3://" + a.Bucket + "/" + a.Key
}
