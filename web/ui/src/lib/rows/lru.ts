// What was used last, up to a size.

export class Lru<K, V> {
  #kept = new Map<K, { value: V; size: number }>(); // in the order of use
  #size = 0;

  constructor(readonly most: number) {}

  get size(): number {
    return this.#size;
  }

  get(key: K): V | undefined {
    const found = this.#kept.get(key);
    if (!found) return undefined;
    this.#kept.delete(key);
    this.#kept.set(key, found);
    return found.value;
  }

  has(key: K): boolean {
    return this.#kept.has(key);
  }

  /** Keeps a value, and forgets the oldest ones that nobody needs until the rest fits. */
  set(key: K, value: V, size: number, needed: (key: K) => boolean) {
    this.#drop(key);
    this.#kept.set(key, { value, size });
    this.#size += size;
    for (const old of this.#kept.keys()) {
      if (this.#size <= this.most) return;
      if (old !== key && !needed(old)) this.#drop(old);
    }
  }

  #drop(key: K) {
    this.#size -= this.#kept.get(key)?.size ?? 0;
    this.#kept.delete(key);
  }
}
