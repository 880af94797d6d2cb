// Colours for a canvas, which knows neither custom properties nor light-dark():
// they are asked of an element, and again whenever the theme changes.

/** The colour that a custom property has at an element now. */
export function colour(host: HTMLElement, name: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  host.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

export function alpha(rgb: string, a: number): string {
  return /^rgb\(/.test(rgb) ? rgb.replace('rgb(', 'rgba(').replace(')', `, ${a})`) : rgb;
}

/** What axes are written in. */
export const font = '11.5px Inter, system-ui, sans-serif';
