package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/web"
)

func (a *app) exportCommand() *cobra.Command {
	var format, file, checkpoint string
	c := &cobra.Command{
		Use:   "export [ID] -o FILE",
		Short: "Write a session's disk to a file, as a raw or qcow2 image",
		Long: `Writes the disk of a checkpoint to a file: an ext4 file system with the data
directory in data/. Without --checkpoint one is made first, with the file system at
rest, so that the image is of now. The checkpoint base is the backup as it came.

A raw image has holes where the disk has zeros. FILE must not exist; what was
written of it is removed when the export fails.`,
		Example: `  snapview export -o now.qcow2
  snapview export 01j9 --checkpoint 01JD… --format raw -o then.img
  mount -o loop,ro then.img /mnt && ls /mnt/data`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSessions,
		RunE: func(c *cobra.Command, args []string) error {
			if format != "raw" && format != "qcow2" {
				return usageError{fmt.Errorf("--format %s: use raw or qcow2", format)}
			}
			if file == "" {
				return usageError{errors.New("say where to: -o FILE")}
			}
			api, err := a.dial(optionalID(args))
			if err != nil {
				return err
			}
			return a.export(c.Context(), api, checkpoint, format, file)
		},
	}
	c.Flags().StringVarP(&file, "output", "o", "", "the `FILE` to write; it must not exist")
	c.Flags().StringVar(&format, "format", "qcow2", "raw or qcow2")
	c.Flags().StringVar(&checkpoint, "checkpoint", "", "the disk of this checkpoint; base for the backup's own")
	complete(c, "format", "raw", "qcow2")
	return c
}

func (a *app) export(ctx context.Context, api *control, checkpoint, format, path string) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return usageError{fmt.Errorf("%s exists already: export writes new files only", path)}
	}
	if err != nil {
		return fmt.Errorf("the image: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("exporting to %s: %w", path, err), file.Close(), os.Remove(path))
		}
	}()
	if checkpoint == "" {
		var made web.Checkpoint
		if err := api.call(ctx, http.MethodPost, "/checkpoints", map[string]any{"name": ""}, &made); err != nil {
			return err
		}
		checkpoint = made.ID
	}
	query := "?checkpoint=" + url.QueryEscape(checkpoint)
	var extents diskExtents
	if err := api.call(ctx, http.MethodGet, "/disk/extents"+query, nil, &extents); err != nil {
		return err
	}
	out := &exportFile{File: file, progress: a.exportProgress(extents.sum())}
	if format == "qcow2" {
		err = copyQcow2(ctx, api, query, out)
	} else {
		err = copyRaw(ctx, api, query, &extents, out)
	}
	out.progress.end()
	if err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if a.json {
		return printJSON(a.out, map[string]any{
			"event": "exported", "file": path, "format": format, "checkpoint": checkpoint,
			"disk_bytes": extents.Bytes, "file_bytes": st.Size, "allocated_bytes": st.Blocks * 512,
		})
	}
	if !a.quiet {
		fmt.Fprintf(a.err, "%s: a %s image of %s, %s on disk, of checkpoint %s\n", path, format, size(extents.Bytes), size(st.Blocks*512), checkpoint)
	}
	return nil
}

// copyQcow2 writes the image as it comes.
func copyQcow2(ctx context.Context, api *control, query string, out *exportFile) error {
	body, err := api.open(ctx, http.MethodGet, "/disk"+query+"&format=qcow2", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(out, body)
	return err
}

// An exportFile is the image that is being written.
type exportFile struct {
	*os.File
	progress *exportProgress
}

func (f *exportFile) Write(p []byte) (int, error) {
	f.progress.add(len(p))
	return f.File.Write(p)
}

// ReadFrom is hidden, so that every byte is counted.
func (f *exportFile) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{f}, r, make([]byte, 1<<20))
}

// exportProgress tells on a terminal how far an export is.
type exportProgress struct {
	progress
	quiet       bool
	done, total int64
	told        time.Time
}

func (a *app) exportProgress(total int64) *exportProgress {
	return &exportProgress{progress: progress{out: a.err, terminal: isTerminal(a.err)}, quiet: a.quiet || a.json, total: total}
}

func (p *exportProgress) add(n int) {
	p.done += int64(n)
	if p.quiet || time.Since(p.told) < 100*time.Millisecond {
		return
	}
	p.told = time.Now()
	p.transient(fmt.Sprintf("exported %s of some %s", size(p.done), size(p.total)))
}
