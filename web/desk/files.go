package desk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// files are the files of one person, in a folder or, without one, in memory.
// All methods but locked are called within locked.
type files struct {
	dir string

	mu     sync.Mutex
	memory map[string][]byte
}

// locked runs do while nobody else, in this process or another, is at the files.
func (f *files) locked(do func() error) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dir == "" {
		return do()
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("the folder for statements: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(f.dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("the lock of the folder for statements: %w", err)
	}
	defer lock.Close() // gives the lock back
	for {
		if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	return do()
}

// read returns a file's content; nothing for one that is not there. One that is
// longer than it can be is not ours.
func (f *files) read(name string) ([]byte, error) {
	if f.dir == "" {
		return f.memory[name], nil
	}
	file, err := os.Open(filepath.Join(f.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		err = fmt.Errorf("%s is longer than %d MiB: move it away", file.Name(), MaxFile>>20)
	}
	return data, err
}

func (f *files) readJSON(name string, into any) error {
	data, err := f.read(name)
	if err != nil || len(data) == 0 {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s is damaged: %w (move it away to begin anew)", filepath.Join(f.dir, name), err)
	}
	return nil
}

// write replaces a file: whoever reads it, and whenever the host goes down, it
// is the old one or the new one.
func (f *files) write(name string, data []byte) (err error) {
	if f.dir == "" {
		if f.memory == nil {
			f.memory = make(map[string][]byte)
		}
		f.memory[name] = bytes.Clone(data)
		return nil
	}
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// add appends to a file in one write and returns how long it is now. What a
// killed process left unfinished before it is ended by a line feed first.
func (f *files) add(name string, line []byte) (int64, error) {
	line = append(bytes.Clone(line), '\n')
	if f.dir == "" {
		data := append(bytes.Clone(f.memory[name]), line...)
		return int64(len(data)), f.write(name, data)
	}
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err = file.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if err == nil {
		_, err = file.Write(line)
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return 0, err
	}
	return info.Size() + int64(len(line)), nil
}
