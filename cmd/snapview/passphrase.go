package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/snapview/snapview/snapshot"
)

const maxPassphrase = 64 << 10 // bytes of --passphrase-file

// A passphraseAsker finds the passphrase of an encrypted store: in the file
// that a flag names, in the environment, or by asking the person at the
// terminal. Each store is asked for once.
type passphraseAsker struct {
	file    string
	command *cobra.Command

	mu    sync.Mutex // one question at a time
	given map[string][]byte
}

// passphraseVariables are looked at in this order. The second is Plakar's own.
var passphraseVariables = []string{"SNAPVIEW_PASSPHRASE", "PLAKAR_PASSPHRASE"}

// ask returns the passphrase of the store that what names.
func (p *passphraseAsker) ask(what string) ([]byte, error) {
	if p.file != "" {
		return passphraseFile(p.file)
	}
	for _, name := range passphraseVariables {
		if v := os.Getenv(name); v != "" {
			return []byte(v), nil
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.given[what]; ok {
		return known, nil
	}
	if !p.mayPrompt() {
		return nil, snapshot.Errorf(snapshot.ErrPassphrase, "%s is encrypted and needs its passphrase: give it with --passphrase-file FILE or in %s", what, passphraseVariables[0])
	}
	secret, err := prompt(p.command.Context(), os.Stdin, os.Stderr, what)
	if err != nil {
		return nil, err
	}
	if p.given == nil {
		p.given = map[string][]byte{}
	}
	p.given[what] = secret
	return secret, nil
}

// passphraseFile reads a passphrase without the line's end behind it.
func passphraseFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, snapshot.Errorf(snapshot.ErrPassphrase, "--passphrase-file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPassphrase+1))
	if err != nil {
		return nil, snapshot.Errorf(snapshot.ErrPassphrase, "--passphrase-file: %w", err)
	}
	if len(b) > maxPassphrase {
		return nil, usageError{fmt.Errorf("--passphrase-file: %s has more than %d bytes", name, maxPassphrase)}
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(b) == 0 {
		return nil, snapshot.Errorf(snapshot.ErrPassphrase, "--passphrase-file: %s is empty", name)
	}
	return b, nil
}

// mayPrompt: only where a person sees the question and can answer it.
func (p *passphraseAsker) mayPrompt() bool {
	if p.command == nil {
		return false
	}
	asJSON, err := p.command.Flags().GetBool("json")
	return err == nil && !asJSON && term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd()))
}

// prompt asks at the terminal without showing what is typed. Ctrl-C ends it.
func prompt(ctx context.Context, in, out *os.File, what string) ([]byte, error) {
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "Passphrase of %s: ", what)
	type answer struct {
		secret []byte
		err    error
	}
	answered := make(chan answer, 1)
	go func() {
		secret, err := term.ReadPassword(fd)
		answered <- answer{secret, err}
	}()
	select {
	case a := <-answered:
		fmt.Fprintln(out)
		if errors.Is(a.err, io.EOF) || a.err == nil && len(a.secret) == 0 {
			return nil, snapshot.Errorf(snapshot.ErrPassphrase, "no passphrase was given for %s", what)
		}
		return a.secret, a.err
	case <-ctx.Done():
		fmt.Fprintln(out)
		return nil, errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}
