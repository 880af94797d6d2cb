import { expect, it } from 'vitest';
import { copyRows } from './copy';

const columns = [{ name: 'a|b', type: 'text' }, { name: 'n', type: 'numeric' }];
const rows = [['x\ty', '1.0'], [null, ''], ['<b>\n', { cut: '12345', bytes: 9 }]];

it('copies for spreadsheets', () => {
  expect(copyRows('rows', columns, rows).text).toBe('"x\ty"\t1.0\n\t""\n"<b>\n"\t12345');
  expect(copyRows('header', columns, rows.slice(0, 1))).toEqual({ text: 'a|b\tn\n"x\ty"\t1.0', rows: 1 });
});
it('copies for issues', () => expect(copyRows('markdown', columns, rows.slice(1)).text).toBe('| a\\|b | n |\n| --- | --- |\n| _NULL_ |  |\n| \\<b\\><br> | 12345 |'));
it('copies for programs', () => expect(JSON.parse(copyRows('json', columns, rows).text)[1]).toEqual({ 'a|b': null, n: '' }));
it('stops before it is too much', () => {
  const big = Array.from({ length: 30 }, () => ['x'.repeat(1 << 20), '1']);
  const { rows: n, text } = copyRows('rows', columns, big);
  expect(n).toBe(9);
  expect(text.length).toBeLessThan(10 << 20);
});
