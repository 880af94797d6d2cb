// A plugin that has the browser draw nothing before the page's script ran: there
// is nothing to be seen before, and an empty frame costs its time.
import type { Plugin } from 'vite';

/** Marks the script of the built page as one that holds the drawing up. */
export function oneFirstFrame(): Plugin {
  return {
    name: 'snapview:first-frame',
    transformIndexHtml: {
      order: 'post',
      handler(html) {
        const marked = html.replace('<script type="module"', '<script type="module" blocking="render"');
        if (marked === html) throw new Error('the page has no script of its own to mark');
        return marked;
      },
    },
  };
}
