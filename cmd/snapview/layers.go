package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/web"
)

func (a *app) layersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "layers [ID]",
		Short: "The overlay's layers as a tree, those of forks among them",
		Long: `Shows the layers over a backup as a tree: checkpoints, which are sealed, and the
layers that sessions write. BYTES are of each layer alone, as du counts them; what
session ID reads is marked with a star.`,
		Example: `  snapview layers
  snapview layers merge 01j9 01JD…       # fold the layer below a checkpoint into it
  snapview layers discard 01j9 01JD…     # remove a checkpoint that no session needs`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeSessions,
		RunE: func(c *cobra.Command, args []string) error {
			api, err := a.dial(optionalID(args))
			if err != nil {
				return err
			}
			var list struct {
				Items []web.Layer `json:"items"`
			}
			if err := api.call(c.Context(), http.MethodGet, "/layers", nil, &list); err != nil {
				return err
			}
			return a.printLayers(list.Items)
		},
	}
	c.AddCommand(a.mergeCommand(), a.discardCommand())
	return c
}

// printLayers prints layers, parents before children, as a tree.
func (a *app) printLayers(layers []web.Layer) error {
	depth := make(map[string]int)
	var rows [][]string
	for _, l := range layers {
		if a.json {
			if err := printJSON(a.out, l); err != nil {
				return err
			}
			continue
		}
		depth[l.ID] = depth[l.Parent] + 1
		mark, state := " ", "sealed"
		if l.Current {
			mark = "*"
		}
		switch {
		case l.Damage != "":
			state = "damaged: " + l.Damage
		case l.Session != "":
			state = "written by " + l.Session
		case !l.Sealed:
			state = "open"
		}
		at := l.CreatedAt
		if l.SealedAt != nil {
			at = *l.SealedAt
		}
		rows = append(rows, []string{
			mark + strings.Repeat("  ", depth[l.ID]-1) + " " + l.ID, state, at.Local().Format(time.DateTime), size(l.OverlayBytes), l.Name,
		})
	}
	if a.json {
		return nil
	}
	return table(a.out, []string{"  LAYER", "STATE", "SINCE", "BYTES", "NAME"}, rows)
}

func (a *app) mergeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "merge [ID] LAYER",
		Short: "Fold the layer below a checkpoint into it",
		Long: `Folds the layer below the checkpoint LAYER into it. The layer below is gone, its
name with it; every disk stays as it is. It is refused when other layers lie over
the one below. Interrupting it leaves the layers as they were.`,
		Args: usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := a.dial(optionalID(args[:len(args)-1]))
			if err != nil {
				return err
			}
			return a.merge(c.Context(), api, args[len(args)-1])
		},
	}
}

// mergeFrame is one line of a merge's answer.
type mergeFrame struct {
	Progress *struct {
		Done  int64 `json:"doneBytes"`
		Total int64 `json:"totalBytes"`
	} `json:"progress"`
	End *struct {
		Error *problem `json:"error"`
	} `json:"end"`
}

// merge follows a merge to its end.
func (a *app) merge(ctx context.Context, api *control, layer string) error {
	header := http.Header{"Accept": {"application/x-ndjson"}}
	body, err := api.openWith(ctx, http.MethodPost, "/layers/"+url.PathEscape(layer)+"/merge", nil, header)
	if err != nil {
		return err
	}
	defer body.Close()
	p := progress{out: a.err, terminal: isTerminal(a.err)}
	defer p.end()
	var copied int64
	for lines := json.NewDecoder(body); ; {
		var f mergeFrame
		if err := lines.Decode(&f); err != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("session %s broke off: the layers are as they were, unless it was at the last step", api.id))
		}
		switch {
		case f.End != nil && f.End.Error != nil:
			return fmt.Errorf("session %s: %s", api.id, f.End.Error.Detail)
		case f.End != nil:
			if a.json {
				return printJSON(a.out, map[string]any{"event": "merged", "layer": layer, "copied_bytes": copied})
			}
			return nil
		case f.Progress == nil:
		default:
			copied = f.Progress.Done
			if a.json && !a.quiet {
				if err := printJSON(a.out, map[string]any{"event": "progress", "layer": layer, "done_bytes": copied, "total_bytes": f.Progress.Total}); err != nil {
					return err
				}
			} else if !a.quiet && !a.json {
				p.transient(fmt.Sprintf("merged %s of %s", size(copied), size(f.Progress.Total)))
			}
		}
	}
}

func (a *app) discardCommand() *cobra.Command {
	var branch bool
	c := &cobra.Command{
		Use:   "discard [ID] LAYER",
		Short: "Remove a checkpoint that no session needs",
		Long: `Removes a layer, and gives its bytes back. It is refused when a session's disk
needs the layer; when others lie over it, --branch removes them too.`,
		Args: usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(c *cobra.Command, args []string) error {
			api, err := a.dial(optionalID(args[:len(args)-1]))
			if err != nil {
				return err
			}
			path := fmt.Sprintf("/layers/%s?branch=%v", url.PathEscape(args[len(args)-1]), branch)
			return api.call(c.Context(), http.MethodDelete, path, nil, nil)
		},
	}
	c.Flags().BoolVar(&branch, "branch", false, "also the layers that lie over it")
	return c
}

// usageArgs makes what is wrong with the arguments a matter of usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}
