import { expect, it } from 'vitest';
import { copyRows } from './copy';

const columns = [{ name: 'a|b', type: 'text' }, { name: 'n', type: 'numeric' }];
const rows = [['x\ty', '1.0'], [null, ''], ['<b>\n', { cut: '12345', bytes: 9 }]];

it('copies for spreadsheets', async () => {
  expect((await copyRows('rows', columns, [rows.slice(0, 1), rows.slice(1)])).text).toBe('"x\ty"\t1.0\n\t""\n"<b>\n"\t12345');
  expect(await copyRows('header', columns, [rows.slice(0, 1)])).toEqual({ text: 'a|b\tn\n"x\ty"\t1.0', rows: 1 });
});
it('copies for issues', async () => expect((await copyRows('markdown', columns, [rows.slice(1)])).text).toBe('| a\\|b | n |\n| --- | --- |\n| _NULL_ |  |\n| \\<b\\><br> | 12345 |'));
it('copies for programs', async () => expect(JSON.parse((await copyRows('json', columns, [rows])).text)[1]).toEqual({ 'a|b': null, n: '' }));
it('stops before it is too much, and reads no further', async () => {
  const big = Array.from({ length: 30 }, () => ['x'.repeat(1 << 20), '1']);
  let read = 0;
  const { rows: n, text } = await copyRows('rows', columns, (function* () { for (; ; read++) yield big.slice(0, 3); })());
  expect([n, read]).toEqual([9, 3]);
  expect(text.length).toBeLessThan(10 << 20);
});
