package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strconv"
)

// page has the browser measure, and prints what it says.
func page(ctx context.Context, o options, s *server) error {
	log.Printf("the page in Chromium, %d runs", o.runs)
	cmd := exec.CommandContext(ctx, "node", o.script, s.base, s.cookie.Name+"="+s.cookie.Value, strconv.Itoa(o.runs))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("node %s: %w", o.script, err)
	}
	var got struct {
		Empty, FirstView, WarmView                      []float64 // ms
		Tables, TablesLoad, TablesAPI, Table, TableLoad []float64 // ms
		ScriptBytes, AllBytes                           []float64
		Load                                            []float64 // ms, a million rows into the page
		Heap, HeapFew, Buffers                          []float64 // bytes
		Renderer, RendererFew, Browser, BrowserFew      []float64 // bytes
		FPS, P50, P95, Worst, DragFPS, DragP95          []float64
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return fmt.Errorf("%w in %.500s", err, out)
	}
	line := func(what, target string, v []float64, format string) {
		fmt.Printf("| %s | "+format+" | %s |\n", what, median(v), target)
	}
	scale := func(v []float64, by float64) []float64 {
		w := make([]float64, len(v))
		for i := range v {
			w[i] = v[i] / by
		}
		return w
	}
	fmt.Println("| the page in Chromium, headless, on this machine | median | target |\n| --- | --- | --- |")
	line("a page of one link made by one script: what any page takes here, ms", "", got.Empty, "%.0f")
	line("first view usable, nothing cached, ms", "200", got.FirstView, "%.0f")
	line("first view usable, files cached, ms", "", got.WarmView, "%.0f")
	line("script before it, KiB as sent", "60", scale(got.ScriptBytes, 1024), "%.1f")
	line("everything before it, KiB as sent", "", scale(got.AllBytes, 1024), "%.1f")
	line(fmt.Sprintf("schema of %d tables, from the click to the list on the screen, ms", manyTables), "300", got.Tables, "%.0f")
	line("the same by its address, the page loaded anew, ms", "", got.TablesLoad, "%.0f")
	line("the API's answer for it alone, ms", "", got.TablesAPI, "%.0f")
	line("one of its tables, from the click to its rows on the screen, ms", "300", got.Table, "%.0f")
	line("the same by its address, the page loaded anew, ms", "", got.TableLoad, "%.0f")
	line(fmt.Sprintf("%d rows into the page, s", manyRows), "", scale(got.Load, 1000), "%.1f")
	line("page's heap with them, MiB", "", scale(got.Heap, 1<<20), "%.0f")
	line(fmt.Sprintf("page's heap with %d, MiB", fewRows), "", scale(got.HeapFew, 1<<20), "%.0f")
	line("buffers outside of the heap with them, MiB", "", scale(got.Buffers, 1<<20), "%.0f")
	line("renderer's resident memory with them, MiB", "", scale(got.Renderer, 1<<20), "%.0f")
	line(fmt.Sprintf("renderer's resident memory with %d, MiB", fewRows), "", scale(got.RendererFew, 1<<20), "%.0f")
	line("resident memory of the browser's own process with them, MiB", "", scale(got.Browser, 1<<20), "%.0f")
	line(fmt.Sprintf("the same with %d, MiB", fewRows), "", scale(got.BrowserFew, 1<<20), "%.0f")
	line("frames a second while the wheel is turned fast through them, 8000 pixels a second", "50", got.FPS, "%.0f")
	line("a frame, median, ms", "", got.P50, "%.1f")
	line("a frame, 95th percentile, ms", "", got.P95, "%.1f")
	line("frames a second while the scroll bar is dragged through all of them and back in four seconds; rows not at hand yet are drawn as waiting", "50", got.DragFPS, "%.0f")
	line("a frame of that, 95th percentile, ms", "", got.DragP95, "%.1f")
	return nil
}
