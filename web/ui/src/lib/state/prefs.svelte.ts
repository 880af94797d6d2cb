// What a person chose in this browser: theme, sizes, history. Kept in
// localStorage when there is one; a browser that refuses it forgets. The first
// look into it waits for another process of the browser (20 ms and more), so
// nothing that the first view needs is kept there: the theme is in a cookie,
// and comes with the page (web/static.go).

export function recall<T>(name: string, otherwise: T): T {
  try {
    const text = localStorage.getItem('snapview.' + name);
    return text === null ? otherwise : (JSON.parse(text) as T);
  } catch {
    return otherwise;
  }
}

export function keep(name: string, value: unknown) {
  try {
    localStorage.setItem('snapview.' + name, JSON.stringify(value));
  } catch {
    // Private windows and full stores: the page works without.
  }
}

export type Theme = 'system' | 'light' | 'dark';

class Prefs {
  theme: Theme = $state(themeOfPage());
  #singleKeys: boolean | undefined = $state();
  /** Counts the changes of what colours mean, for drawings on a canvas. */
  painted = $state(0);

  constructor() {
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.painted++);
    this.#paint();
  }

  setTheme(theme: Theme) {
    this.theme = theme;
    document.cookie = `snapview_theme=${theme}; path=/; max-age=${theme === 'system' ? 0 : 365 * 86400}; samesite=strict`;
    this.#paint();
  }

  get dark(): boolean {
    return this.theme === 'dark' || (this.theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
  }

  toggleTheme() {
    this.setTheme(this.dark ? 'light' : 'dark');
  }

  get singleKeys(): boolean {
    return this.#singleKeys ?? recall('singleKeys', true);
  }

  setSingleKeys(on: boolean) {
    this.#singleKeys = on;
    keep('singleKeys', on);
  }

  #paint() {
    if (this.theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.theme;
    this.painted++;
  }
}

function themeOfPage(): Theme {
  const theme = document.documentElement.dataset.theme;
  return theme === 'light' || theme === 'dark' ? theme : 'system';
}

export const prefs = new Prefs();
