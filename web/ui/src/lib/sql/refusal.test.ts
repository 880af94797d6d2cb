import { expect, it } from 'vitest';
import { psqlCommand, refusal } from './refusal';

const none = { code: 'not-a-query' as const, message: 'The statement returns no columns' };
it.each<[string, RegExp]>([
  ['copy (select 1) to stdout', /Export/],
  ["SET work_mem = '1GB'", /connection of its own/],
  ['create temp table t as select 1', /temporary table/],
  ['select 1 into temp t', /temporary table/],
  ['do $$ begin end $$', /block of code/],
  ['delete from t', /--writable/],
  ['create temporal view', /temporary table|--writable/],
])('%s', (sql, words) => expect(refusal(sql, none, false)!.more).toMatch(words));

it('speaks of the session that it is in', () => {
  expect(refusal('delete from t', none, true)).toEqual({ more: 'psql writes to the scratch server; its line is on the overview.', nothing: 'Nothing was changed: this page only reads, in a scratch session too.' });
  expect(refusal('select * from secret', { code: 'sql-error', sqlstate: '42501', message: 'permission denied' }, false)!.more).toBeUndefined();
  expect(refusal('select 1/0', { code: 'sql-error', sqlstate: '22012', message: 'division by zero' }, false)).toBeUndefined();
});

it('says why a plan, a sequence or a lock is refused', () => {
  const denied = { code: 'sql-error' as const, sqlstate: '42501', message: 'permission denied for table orders' };
  expect(refusal('explain delete from orders', denied, false)!.more).toMatch(/before it plans.*SELECT with the same.*--writable/);
  expect(refusal('explain (format json, analyze) update orders set a = 1', denied, true)!.more).toMatch(/on the scratch server; its line/);
  expect(refusal('explain select * from secret', denied, false)!.more).not.toMatch(/plans/);
  expect(refusal("select nextval('s')", denied, false)!.more).toMatch(/last_value/);
  expect(refusal('select * from t for no key update', { code: 'sql-error', sqlstate: '25006', message: '' }, false)!.more).toMatch(/without FOR UPDATE/);
});

it('knows what is of psql', () => {
  expect(psqlCommand('\\d+ shop.orders')).toMatchObject({ message: '\\d+ is a command of psql, not SQL, so it was not run', hint: expect.stringContaining('sidebar') });
  expect(psqlCommand('\\unheard of')!.hint).toBeUndefined();
  expect(psqlCommand("select '\\d'")).toBeUndefined();
});
