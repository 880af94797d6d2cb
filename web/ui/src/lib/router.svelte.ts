// The route that is shown, kept in step with the address bar.
import { href, parse, type Route } from './route';

// Browsers stop taking addresses that change too often: Chromium after 200 in
// 10 seconds, Safari after 100 in 30. A key that is held down makes as many, so
// that after some changes at once the others wait.
const atOnce = 30;
const pace = 500; // ms, for one more

class Router {
  current: Route = $state.raw(read());
  // An address that waits for its turn.
  #late: string | undefined;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #left = atOnce;
  #counted = 0; // when, on performance.now()'s clock
  // A step back is under way, which the browser makes in its own time: what is
  // to be written before it is made. A dialog tells twice that it was closed.
  #leaving: (() => void)[] | undefined;

  constructor() {
    addEventListener('popstate', () => this.#follow());
    addEventListener('hashchange', () => this.#follow());
    document.addEventListener('click', (event) => this.#click(event));
  }

  /** Shows a route; a replaced one leaves no entry to go back to. */
  go(route: Route, options: { replace?: boolean } = {}) {
    const url = href(route);
    if (options.replace) this.#replace(url);
    else this.#push(url);
    this.current = parseURL(url);
  }

  /** Shows a route that opens something over the present one; `leave` goes back from it. */
  over(route: Route) {
    const url = href(route);
    this.#push(url, true);
    this.current = parseURL(url);
  }

  /**
   * Shows a route in which what was opened is closed. If that is where it was
   * opened, this is a step back: closing leaves nothing behind to go back through.
   */
  leave(route: Route) {
    const url = href(route);
    if (this.#leaving) return;
    if ((history.state as { below?: string } | null)?.below !== url) return this.go(route, { replace: true });
    this.#leaving = [];
    this.current = parseURL(url);
    history.back();
  }

  /** Writes an address that the view has reached by itself, without showing it anew. */
  note(route: Route) {
    this.#replace(href(route));
  }

  get #url(): string {
    return this.#late ?? location.pathname + location.search + location.hash;
  }

  #push(url: string, over = false) {
    if (this.#leaving) return void this.#leaving.push(() => this.#push(url, over));
    if (url === this.#url) return;
    this.#write();
    history.pushState(over ? { below: this.#url } : null, '', url);
  }

  #replace(url: string) {
    if (this.#leaving) return void this.#leaving.push(() => this.#replace(url));
    if (url === this.#url) return;
    this.#late = url;
    if (this.#rest) return;
    const now = performance.now();
    this.#left = Math.min(atOnce, this.#left + (now - this.#counted) / pace);
    this.#counted = now;
    if (this.#left >= 1) return this.#write();
    this.#rest = setTimeout(() => {
      this.#rest = undefined;
      this.#write();
    }, pace);
  }

  #write() {
    if (this.#late === undefined) return;
    this.#left--;
    history.replaceState(history.state, '', this.#late);
    this.#late = undefined;
  }

  #follow() {
    this.#late = undefined;
    const waiting = this.#leaving;
    this.#leaving = undefined;
    if (waiting?.length) for (const write of waiting) write();
    else if (!waiting || this.#url !== href(this.current)) this.current = read();
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

function parseURL(url: string): Route {
  const { pathname, search, hash } = new URL(url, location.origin);
  return parse(pathname, search, hash);
}

export const router = new Router();
