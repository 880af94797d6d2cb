// What a person chose in this browser: theme, sizes, history. Kept in
// localStorage when there is one; a browser that refuses it forgets.

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
  theme: Theme = $state(recall<Theme>('theme', 'system'));
  singleKeys: boolean = $state(recall('singleKeys', true));
  /** Counts the changes of what colours mean, for drawings on a canvas. */
  painted = $state(0);

  constructor() {
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.painted++);
    this.#paint();
  }

  setTheme(theme: Theme) {
    this.theme = theme;
    keep('theme', theme);
    this.#paint();
  }

  get dark(): boolean {
    return this.theme === 'dark' || (this.theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
  }

  toggleTheme() {
    this.setTheme(this.dark ? 'light' : 'dark');
  }

  setSingleKeys(on: boolean) {
    this.singleKeys = on;
    keep('singleKeys', on);
  }

  #paint() {
    if (this.theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.theme;
    this.painted++;
  }
}

export const prefs = new Prefs();
