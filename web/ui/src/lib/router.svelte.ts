// The route that is shown, kept in step with the address bar.
import { href, parse, type Route } from './route';

class Router {
  current: Route = $state.raw(read());

  constructor() {
    addEventListener('popstate', () => (this.current = read()));
    addEventListener('hashchange', () => (this.current = read()));
    document.addEventListener('click', (event) => this.#click(event));
  }

  /** Shows a route; a replaced one leaves no entry to go back to. */
  go(route: Route, options: { replace?: boolean } = {}) {
    const url = href(route);
    if (url !== location.pathname + location.search + location.hash)
      history[options.replace ? 'replaceState' : 'pushState'](null, '', url);
    this.current = read();
  }

  /** Writes an address that the view has reached by itself, without showing it anew. */
  note(route: Route) {
    history.replaceState(null, '', href(route));
  }

  #click(event: MouseEvent) {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.('a');
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
    if (link.pathname.startsWith('/api/') || link.pathname.endsWith('.txt')) return;
    event.preventDefault();
    this.go(parse(link.pathname, link.search, link.hash));
  }
}

function read(): Route {
  return parse(location.pathname, location.search, location.hash);
}

export const router = new Router();
