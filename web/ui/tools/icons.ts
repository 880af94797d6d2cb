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
  const shapes = node.map(([tag, attributes]) => `<${tag}${Object.entries(attributes).map(([key, value]) => ` ${key}="${value}"`).join('')} />`);
  return `<script>
  let { size = 24, strokeWidth = 2, fill = 'none', 'aria-label': label } = $props();
</script>

<svg class="lucide" width={size} height={size} viewBox="0 0 24 24" {fill} stroke="currentColor" stroke-width={strokeWidth} stroke-linecap="round" stroke-linejoin="round" role={label ? 'img' : undefined} aria-label={label} aria-hidden={label ? undefined : 'true'}>${shapes.join('')}</svg>
`;
}
