// Lucide's icons as markup that is known when the page is built. The package
// has each icon as data, and a component that makes elements and attributes of
// it one by one when it is drawn: for the thirty icons of the first view that
// was a tenth of the time to show it. As a template they are cloned whole.
import type { Plugin } from 'vite';

const icon = /\/@lucide\/svelte\/dist\/icons\/([a-z0-9-]+)\.svelte$/;
const data = /\bconst iconData = (\{.*\});/;

export function icons(): Plugin {
  return {
    name: 'snapview:icons',
    enforce: 'pre',
    transform(code, id) {
      const name = icon.exec(id)?.[1];
      if (!name) return undefined;
      const found = data.exec(code);
      if (!found) throw new Error(`${id} holds no icon in the form that tools/icons.mjs knows`);
      return { code: component(JSON.parse(found[1]!).node), map: null };
    },
  };
}

// The properties that the page uses; TypeScript sees the package's own types.
function component(node: [tag: string, attributes: Record<string, string>][]): string {
  return `<script>
  let { size = 24, strokeWidth = 2, fill = 'none', 'aria-label': label } = $props();
</script>

<svg class="lucide" width={size} height={size} viewBox="0 0 24 24" {fill} stroke="currentColor" stroke-width={strokeWidth} stroke-linecap="round" stroke-linejoin="round" role={label ? 'img' : undefined} aria-label={label} aria-hidden={label ? undefined : 'true'}>${shapes(node)}</svg>
`;
}

// Icons whose shapes are painted each in a way of its own stay as they are.
export function shapes(node: [tag: string, attributes: Record<string, string>][]): string {
  const plain = node.every(([, attributes]) => Object.keys(attributes).every((name) => geometry.has(name)));
  if (plain) return `<path d="${node.map(outline).join('')}" />`;
  return node.map(([tag, attributes]) => `<${tag}${Object.entries(attributes).map(([key, value]) => ` ${key}="${value}"`).join('')} />`).join('');
}
const geometry = new Set(['d', 'points', 'x', 'y', 'x1', 'x2', 'y1', 'y2', 'cx', 'cy', 'r', 'rx', 'ry', 'width', 'height']);

// One path for all of an icon's shapes, by the equivalent paths of SVG 2, part
// 10: an element each would be styled, laid out and painted each.
export function outline([tag, attributes]: [tag: string, attributes: Record<string, string>]): string {
  const n = (name: string) => Number(attributes[name] ?? 0);
  switch (tag) {
    case 'path':
      return absolute(attributes.d!);
    case 'line':
      return `M${n('x1')} ${n('y1')}L${n('x2')} ${n('y2')}`;
    case 'polyline':
    case 'polygon':
      return `M${attributes.points}${tag === 'polygon' ? 'Z' : ''}`;
    case 'circle':
      return ellipse(n('cx'), n('cy'), n('r'), n('r'));
    case 'ellipse':
      return ellipse(n('cx'), n('cy'), n('rx'), n('ry'));
    case 'rect': {
      const [x, y, w, h, rx, ry] = [n('x'), n('y'), n('width'), n('height'), Number(attributes.rx ?? attributes.ry ?? 0), Number(attributes.ry ?? attributes.rx ?? 0)];
      const corner = (dx: number, dy: number) => (rx && ry ? `a${rx} ${ry} 0 0 1 ${dx} ${dy}` : '');
      return `M${x + rx} ${y}h${w - 2 * rx}${corner(rx, ry)}v${h - 2 * ry}${corner(-rx, ry)}h${2 * rx - w}${corner(-rx, -ry)}v${2 * ry - h}${corner(rx, -ry)}Z`;
    }
    default:
      throw new Error(`no path is known for an icon's <${tag}>`);
  }
}

// A path may begin with a relative moveto, which means the same as an absolute
// one only where nothing is before it; pairs after it stay relative lines.
function absolute(d: string): string {
  const number = '[-+]?(?:\\d+\\.?\\d*|\\.\\d+)(?:e[-+]?\\d+)?';
  return d.replace(new RegExp(`^m\\s*(${number})[\\s,]*(${number})[\\s,]*(?=([-+.\\d])?)`), (_, x: string, y: string, line?: string) => `M${x} ${y}${line ? 'l' : ''}`);
}

const ellipse = (cx: number, cy: number, rx: number, ry: number) => `M${cx - rx} ${cy}a${rx} ${ry} 0 1 0 ${2 * rx} 0a${rx} ${ry} 0 1 0 ${-2 * rx} 0Z`;
