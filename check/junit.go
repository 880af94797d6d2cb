package check

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The elements of JUnit's XML that continuous integration servers read, as
// Jenkins' and GitLab's documentation have them.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Time      string      `xml:"time,attr"`
		Timestamp string      `xml:"timestamp,attr"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure"`
		Error   *junitMessage `xml:"error"`
		Skipped *junitMessage `xml:"skipped"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr,omitempty"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report as JUnit XML, one suite for each kind of check.
func (r *Report) WriteJUnit(w io.Writer) error {
	all := junitSuites{Name: "snapview verify " + r.Ref, Time: junitSeconds(r.Seconds)}
	index := map[string]int{}
	sums := map[string]float64{}
	for _, c := range r.Cases {
		i, known := index[c.Suite]
		if !known {
			i = len(all.Suites)
			index[c.Suite] = i
			all.Suites = append(all.Suites, junitSuite{Name: c.Suite, Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05")})
		}
		s := &all.Suites[i]
		s.Tests++
		sums[c.Suite] += c.Seconds
		s.Time = junitSeconds(sums[c.Suite])
		j := c.junit()
		switch {
		case j.Failure != nil:
			s.Failures++
		case j.Error != nil:
			s.Errors++
		case j.Skipped != nil:
			s.Skipped++
		}
		s.Cases = append(s.Cases, j)
	}
	for _, s := range all.Suites {
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		all.Skipped += s.Skipped
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (c Case) junit() junitCase {
	j := junitCase{Class: "snapview." + c.Suite, Name: c.Name, Time: junitSeconds(c.Seconds)}
	var text strings.Builder
	for _, p := range c.Problems {
		fmt.Fprintln(&text, p)
	}
	if c.More > 0 {
		fmt.Fprintf(&text, "and %d more\n", c.More)
	}
	message := &junitMessage{Message: c.Detail, Text: text.String()}
	switch c.Outcome {
	case Failed:
		message.Type = "failed"
		j.Failure = message
	case Errored:
		message.Type = "error"
		j.Error = message
	case Skipped:
		j.Skipped = message
	default:
		j.Out = c.Detail
		if c.Outcome == Warned {
			j.Out = "warning: " + c.Detail
		}
	}
	return j
}

func junitSeconds(s float64) string {
	return strconv.FormatFloat((time.Duration(s * float64(time.Second))).Seconds(), 'f', 3, 64)
}
