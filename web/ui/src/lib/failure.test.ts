import { expect, it } from 'vitest';
import { told } from './failure';

it('tells what is wrong and what to do apart, without what stands elsewhere', () => {
  expect(told('identify: /b/x: one WAL segment is missing from pg_wal: 0001; put it there; or not', '/b/x')).toEqual({ what: 'One WAL segment is missing from pg_wal: 0001', more: 'Put it there; or not' });
  expect(told('/b/k.ptar: backup_label is missing', '/b/k.ptar#6e')).toEqual({ what: 'backup_label is missing' });
  expect(told('recover: FATAL: out of memory', '/b/x')).toEqual({ what: 'FATAL: out of memory' });
});
