// The layers over a disk as a tree, and what may be done with each. Pure
// functions; the server has the last word.
import type { Layer } from './api/client';

export interface Row {
  layer: Layer;
  /** How many forks lie below: the column of the tree that it is drawn in. */
  depth: number;
  /** The column of the layer below, where the line to it turns; its own when it goes straight on. */
  from: number;
  /** The columns in which a line comes from above, and goes on below. */
  up: number[];
  down: number[];
  children: Layer[];
  /** Why it cannot be merged with the layer below; undefined when it can. */
  noMerge?: string;
  /** Why it cannot be discarded; undefined when it can. */
  noDiscard?: string;
  /** What goes with it when it is discarded, itself first. */
  branch: Layer[];
}

/** What a layer is called: by its name, or by the end of its id, which tells layers of one day apart. */
export function nameOf(layer: Pick<Layer, 'id' | 'name' | 'sealed'>): string {
  if (layer.name) return layer.name;
  return layer.sealed ? `…${layer.id.slice(-6)}` : 'now';
}

/**
 * The tree from the backup up, each chain in one column: the layers that
 * belong to the session's own disk go straight on, and forks step aside.
 */
export function rows(layers: Layer[]): Row[] {
  const children = new Map<string, Layer[]>();
  const known = new Set(layers.map((l) => l.id));
  for (const l of layers) {
    const parent = l.parent && known.has(l.parent) ? l.parent : '';
    children.set(parent, [...(children.get(parent) ?? []), l]);
  }
  const branchOf = (l: Layer): Layer[] => [l, ...(children.get(l.id) ?? []).flatMap(branchOf)];
  const found: Row[] = [];
  const visit = (parent: string, depth: number) => {
    const over = [...(children.get(parent) ?? [])];
    // One's own disk goes on in the same column, and comes last, so that
    // nothing stands between its layers but the forks of the one below.
    over.sort((a, b) => Number(a.current) - Number(b.current));
    over.forEach((l, i) => {
      const aside = i < over.length - 1;
      const at = depth + (aside ? over.length - 1 - i : 0);
      const branch = branchOf(l);
      found.push({ layer: l, depth: at, from: depth, up: [], down: [], children: children.get(l.id) ?? [], branch, noMerge: noMerge(l, layers, over), noDiscard: noDiscard(l, branch) });
      visit(l.id, at);
    });
  };
  visit('', 0);
  // A line goes down the column of the layer below, from it to each child.
  const line = new Map(found.map((row, i) => [row.layer.id, i]));
  found.forEach((row, i) => {
    const parent = row.layer.parent === undefined ? -1 : (line.get(row.layer.parent) ?? -1);
    for (let k = parent; k <= i; k++) {
      if (k > parent) add(found[k]!.up, row.from);
      if (k < i && k >= 0) add(found[k]!.down, row.from);
    }
  });
  return found;
}

function add(columns: number[], column: number) {
  if (!columns.includes(column)) columns.push(column);
}

function noMerge(l: Layer, layers: Layer[], siblings: Layer[]): string | undefined {
  if (l.damage) return 'It is damaged.';
  if (!l.sealed) return 'It is being written: make a checkpoint first.';
  const below = layers.find((other) => other.id === l.parent);
  if (!below) return 'There is no layer below it, only the backup.';
  if (siblings.length > 1) return `Other layers lie over ${nameOf(below)} too.`;
  return undefined;
}

function noDiscard(l: Layer, branch: Layer[]): string | undefined {
  const writers = branch.map((b) => b.session).filter((s) => s !== undefined);
  if (l.session) return 'A session writes it: it goes when that ends.';
  if (writers.length) return `${writers.length === 1 ? 'A session writes' : `${writers.length} sessions write`} over it.`;
  return undefined;
}

export interface Choices {
  since: Layer[];
  until: Layer[];
  /** Whether growth may be counted up to now. */
  now: boolean;
}

/** Between which checkpoints growth can be asked for, when the first is chosen. */
export function choices(layers: Layer[], since: string | undefined): Choices {
  const byID = new Map(layers.map((l) => [l.id, l]));
  const below = (l: Layer): string[] => {
    const ids: string[] = [];
    for (let at = l.parent; at && byID.has(at) && ids.length <= layers.length; at = byID.get(at)!.parent) ids.push(at);
    return ids;
  };
  const sealed = layers.filter((l) => l.sealed && !l.damage);
  const isBelow = (id: string) => sealed.some((l) => below(l).includes(id));
  return {
    since: sealed.filter((l) => l.current || isBelow(l.id)),
    until: sealed.filter((l) => !since || below(l).includes(since)),
    now: !since || byID.get(since)?.current === true,
  };
}
