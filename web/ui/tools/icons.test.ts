import { expect, test } from 'vitest';
import { outline, shapes } from './icons.ts';

test.each([
  ['a path stays', 'path', { d: 'M3 18v3' }, 'M3 18v3'],
  ['a path that begins relative begins where it did alone', 'path', { d: 'm16 6-4 4-4-4' }, 'M16 6l-4 4-4-4'],
  ['and one whose numbers touch', 'path', { d: 'm.5-1.5.25 3' }, 'M.5 -1.5l.25 3'],
  ['and one with a command after its first point', 'path', { d: 'm7 11h4' }, 'M7 11h4'],
  ['line', 'line', { x1: '10', x2: '14', y1: '2', y2: '2' }, 'M10 2L14 2'],
  ['polyline', 'polyline', { points: '4 17 10 11' }, 'M4 17 10 11'],
  ['polygon', 'polygon', { points: '4 17 10 11' }, 'M4 17 10 11Z'],
  ['circle', 'circle', { cx: '12', cy: '12', r: '10' }, 'M2 12a10 10 0 1 0 20 0a10 10 0 1 0 -20 0Z'],
  ['ellipse', 'ellipse', { cx: '12', cy: '5', rx: '9', ry: '3' }, 'M3 5a9 3 0 1 0 18 0a9 3 0 1 0 -18 0Z'],
  ['rectangle', 'rect', { width: '20', height: '5', x: '2', y: '3' }, 'M2 3h20v5h-20v-5Z'],
  ['round rectangle', 'rect', { width: '20', height: '5', x: '2', y: '3', rx: '1' }, 'M3 3h18a1 1 0 0 1 1 1v3a1 1 0 0 1 -1 1h-18a1 1 0 0 1 -1 -1v-3a1 1 0 0 1 1 -1Z'],
])('%s', (_, tag, attributes, path) => expect(outline([tag, attributes as Record<string, string>])).toBe(path));

test('a shape without a path is refused', () => expect(() => outline(['text', {}])).toThrow('<text>'));

test('shapes become one path, unless one is painted in a way of its own', () => {
  expect(shapes([['path', { d: 'm1 2 3 4' }], ['path', { d: 'm5 6h1' }]])).toBe('<path d="M1 2l3 4M5 6h1" />');
  expect(shapes([['path', { d: 'm1 2' }], ['circle', { r: '.5', fill: 'currentColor' }]])).toBe('<path d="m1 2" /><circle r=".5" fill="currentColor" />');
});
