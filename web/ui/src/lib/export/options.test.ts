import { describe, expect, it } from 'vitest';
import { bare, defaults, revive, toRequest, type Choices } from './options';

const chosen = (change: Partial<Choices>): Choices => ({ ...structuredClone(defaults), ...change });

describe('toRequest', () => {
  it('says nothing of what is the server’s own choice', () => {
    expect(toRequest({ sql: 'select 1' }, defaults, {})).toEqual({ sql: 'select 1', format: 'csv' });
    expect(toRequest({ relation: 5, filter: [], order: [] }, chosen({ format: 'parquet', compression: 'gzip' }), {})).toEqual({ relation: 5, format: 'parquet' });
  });
  it('leaves out what another format has', () => {
    const all = chosen({
      csv: { delimiter: ';', quote: 'all', null: 'NULL', lineEnd: 'crlf', header: false, bom: true, escapeFormulas: true },
      json: { shape: 'arrays', header: false }, sql: { rowsPerStatement: 1, nothing: true, columnNames: false, createTable: true }, parquet: { codec: 'snappy' }, compression: 'zstd',
    });
    expect(toRequest({ sql: 'x' }, { ...all, format: 'csv' }, { target: 't' })).toEqual({ sql: 'x', format: 'csv', delimiter: ';', quote: 'all', null: 'NULL', lineEnd: 'crlf', header: false, bom: true, escapeFormulas: true, compression: 'zstd' });
    expect(toRequest({ sql: 'x' }, { ...all, format: 'json' }, {})).toEqual({ sql: 'x', format: 'json', shape: 'arrays', header: false, compression: 'zstd' });
    expect(toRequest({ sql: 'x' }, { ...all, format: 'ndjson' }, {})).toEqual({ sql: 'x', format: 'ndjson', compression: 'zstd' });
    expect(toRequest({ sql: 'x' }, { ...all, format: 'sql' }, { target: ' s.t ' })).toEqual({ sql: 'x', format: 'sql', rowsPerStatement: 1, onConflict: 'nothing', columnNames: false, createTable: true, target: 's.t', compression: 'zstd' });
    expect(toRequest({ sql: 'x' }, { ...all, format: 'parquet' }, { limit: 3, columns: [2, 1] })).toEqual({ sql: 'x', format: 'parquet', parquetCompression: 'snappy', limit: 3, columns: [2, 1] });
  });
  it('names a header only for arrays', () => {
    expect(toRequest({ sql: 'x' }, chosen({ format: 'json', json: { shape: 'objects', header: false } }), {})).toEqual({ sql: 'x', format: 'json' });
  });
  it('lets the server give a file its endings', () => {
    expect(toRequest({ sql: 'x' }, defaults, { fileName: ' lost.json.gz ' }).fileName).toBe('lost');
    expect(bare('a.b.csv')).toBe('a.b');
    expect(bare('2026.01')).toBe('2026.01');
  });
});

describe('revive', () => {
  it('keeps what it knows and nothing else', () => {
    expect(revive(null)).toEqual(defaults);
    expect(revive({ format: 'xml', csv: { delimiter: ';', quote: 7, more: 1 }, more: {} })).toEqual({ ...defaults, csv: { ...defaults.csv, delimiter: ';' } });
  });
});
