import { expect, it } from 'vitest';
import type { Growth } from './api/client';
import { byFile, byRelation } from './growth';

const growth: Growth = {
  at: '2026-11-20T00:00:00Z',
  totalBytes: 1000,
  metadataBytes: 100,
  freeBytes: 50,
  causes: [],
  relations: [{ database: 'shop', schema: 'public', name: 'orders', kind: 'table', bytes: 300 }],
  files: [
    { path: 'base/5/123', bytes: 300, cause: 'data', relation: 'shop.public.orders' },
    { path: 'pg_wal/0001', bytes: 400, cause: 'wal' },
    { path: 'pg_wal/0002', bytes: 100, cause: 'wal' },
  ],
};

it.each([byRelation, byFile])('accounts for every byte (%o)', (items) => {
  expect(items(growth).reduce((sum, item) => sum + item.bytes, 0)).toBe(1000);
  expect(items({ ...growth, files: [] }).reduce((sum, item) => sum + item.bytes, 0)).toBe(1000);
});

it('joins what belongs to no relation by cause', () => {
  expect(byRelation(growth).find((item) => item.cause === 'wal')?.bytes).toBe(500);
});

it('splits paths', () => {
  expect(byFile(growth)[0]).toMatchObject({ name: '0001', context: 'pg_wal', bytes: 400 });
});
