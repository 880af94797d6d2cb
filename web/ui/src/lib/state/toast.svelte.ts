// Short messages that go away by themselves, announced politely.

export interface Toast {
  id: number;
  text: string;
  tone: 'info' | 'danger';
  /** What a press does, in a word, beside letting the message go. */
  action?: { name: string; run: () => void };
}

class Toasts {
  list: Toast[] = $state([]);
  #next = 1;

  show(text: string, tone: Toast['tone'] = 'info', action?: Toast['action']) {
    const id = this.#next++;
    this.list.push({ id, text, tone, action });
    setTimeout(() => this.drop(id), tone === 'danger' || action ? 9000 : 3500);
  }

  drop(id: number) {
    this.list = this.list.filter((toast) => toast.id !== id);
  }
}

export const toasts = new Toasts();

export async function copy(text: string, what = 'Copied') {
  try {
    await navigator.clipboard.writeText(text);
    toasts.show(what);
  } catch {
    toasts.show('The browser does not let this page copy', 'danger');
  }
}
