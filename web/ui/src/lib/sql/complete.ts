// What the editor offers at the cursor: columns of the tables that the statement
// names there, names of WITH, tables, schemas, functions, and the words that
// questions are made of; of PostgreSQL's 800 keywords most are never typed.
import type { Completion as Option, CompletionContext, CompletionResult } from '@codemirror/autocomplete';
import { syntaxTree } from '@codemirror/language';
import type { Completion } from '../api/client';
import { columnsOf, scopeAt, type Column, type Lookup, type Source } from './scope';
import { split } from './split';
import { pathAtEnd } from './tokens';
import { kindName } from '../ui/kinds';

// PostgreSQL's own that are written most; the server has thousands.
const functions =
  `abs age any_value array_agg array_append array_length array_position array_remove array_to_string avg bool_and bool_or cardinality ceil
   char_length coalesce concat concat_ws corr count cume_dist date_part date_trunc dense_rank exp extract first_value floor format
   format_type gen_random_uuid generate_series greatest has_table_privilege initcap json_agg json_array_length json_build_object
   json_extract_path_text json_object_agg jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_object
   jsonb_each jsonb_each_text jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_query jsonb_pretty jsonb_typeof justify_interval
   lag last_value lead least left length ln log lower lpad ltrim make_date make_interval make_timestamp max md5 min mod mode now nth_value
   ntile nullif num_nonnulls octet_length overlay pg_column_size pg_database_size pg_get_constraintdef pg_get_functiondef pg_get_viewdef
   pg_relation_size pg_size_pretty pg_table_size pg_total_relation_size pg_typeof percent_rank percentile_cont percentile_disc position
   power quote_ident quote_literal random rank regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table
   repeat replace reverse right round row_number row_to_json rpad rtrim sign split_part sqrt starts_with stddev string_agg string_to_array
   strpos substring sum to_char to_date to_json to_jsonb to_number to_regclass to_timestamp to_tsquery to_tsvector translate trim trunc unnest
   upper variance width_bucket`.split(/\s+/);

const reserved = new Set(
  `all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create current_date current_role current_time
   current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign from grant group having in initially
   intersect into lateral leading limit localtime localtimestamp not null offset on only or order placing primary references returning select
   session_user some symmetric table then to trailing true union unique user using variadic when where window with authorization binary
   collation concurrently cross current_schema freeze full ilike inner is isnull join left like natural notnull outer overlaps right similar
   tablesample verbose`.split(/\s+/),
);

// Not reserved, but often written; and the types.
const words = [...reserved].concat(
  `between by cube current explain exists extract filter first following grouping groups interval last materialized nulls ordinality over partition preceding
   range recursive rollup row rows set sets show unbounded values within without`.split(/\s+/),
).sort();
const types = `bigint boolean bytea date double precision inet integer json jsonb numeric real regclass smallint text time timestamp timestamptz uuid varchar`.split(' ');

type Relation = Completion['relations'][number];
// Those of the system are asked for when somebody writes their names.
const systemName = /^pg_/;
const systemSchema = /^(pg_catalog|information_schema)$/;

/** A name as it has to be written. */
export const quoteName = (name: string) => (/^[a-z_][a-z0-9_$]*$/.test(name) && !reserved.has(name) ? name : `"${name.replaceAll('"', '""')}"`);

/** The text of the statement that a cursor stands in, and where it begins. */
function around(script: string, at: number): { text: string; from: number } {
  let from = 0;
  for (const statement of split(script)) {
    if (statement.from > at) break;
    from = statement.from;
    if (at <= statement.to) return { text: statement.text, from };
    if (script.indexOf(';', statement.to) < at && script.indexOf(';', statement.to) >= 0) from = at;
  }
  return { text: script.slice(from, at), from };
}

/**
 * The options at a cursor. known is what is known of the database; where that
 * is not all, relations asks the server for those whose name begins so.
 */
export async function complete(context: CompletionContext, known: Completion | undefined, more: string[], relations: (prefix: string) => Promise<Completion['relations']>): Promise<CompletionResult | null> {
  if (/String|Comment/.test(syntaxTree(context.state).resolveInner(context.pos, -1).name)) return null;
  const { text, from } = around(context.state.doc.toString(), context.pos);
  const path = pathAtEnd(text.slice(0, context.pos - from));
  if (!path || (!path.word && !context.explicit && path.qualifiers.length === 0)) return null;
  const { qualifiers, word, prefix } = path;

  let tables = known?.relations ?? [];
  const add = async (begin: string, ofSystem = systemName.test(begin)) => {
    if (begin === '' || !(known?.truncated || ofSystem)) return;
    const had = new Set(tables.map((r) => `${r.schema}.${r.name}`));
    tables = [...tables, ...(await relations(begin)).filter((r) => !had.has(`${r.schema}.${r.name}`))];
  };
  const near = [...(known?.searchPath ?? []), 'pg_catalog'];
  const lookup: Lookup = (schema, table) => {
    const place = (r: Relation) => (schema === undefined ? near.indexOf(r.schema) : r.schema === schema ? 0 : -1);
    const found = tables.filter((r) => r.name === table && place(r) >= 0).sort((a, b) => place(a) - place(b))[0];
    return found?.columns.map((name, i) => ({ name, type: found.types[i] }));
  };
  let scope = scopeAt(text, context.pos - from, lookup);
  // Tables that are not among the known ones are asked of the server one by one:
  // those of the system, partitions, and what there was no room for.
  const unknown = scope.sources.filter((s) => s.table && !s.columns && !lookup(s.table.schema, s.table.name));
  if (known && unknown.length > 0 && unknown.length < 6 && !scope.table) {
    for (const s of unknown) await add(s.table!.name, true);
    scope = scopeAt(text, context.pos - from, lookup);
  }
  if (context.aborted) return null;

  const options: Option[] = [];
  const offer = (label: string, rest: Omit<Option, 'label'>) => {
    const written = quoteName(label);
    const shown = word.startsWith('"') ? `"${label.replaceAll('"', '""')}"` : label;
    options.push({ label: shown, apply: shown === written ? undefined : written.startsWith('"') || !word.startsWith('"') ? written : shown, ...rest });
  };
  const offerColumns = (columns: Column[], of = '') => columns.forEach(({ name, type }, i) => offer(name, { type: 'property', detail: [of, type].filter(Boolean).join(' · '), boost: 5, sortText: String(i).padStart(5, '0') }));
  const aboutRelation = (r: Relation, schema: boolean) => [schema && r.schema, r.kind !== 'table' && kindName[r.kind].toLowerCase()].filter(Boolean).join(' · ');

  if (qualifiers.length > 0) {
    const [first, second] = [qualifiers.at(-2), qualifiers.at(-1)!];
    if (first === undefined) {
      const source = scope.sources.findLast((s) => s.name === second);
      if (source) offerColumns(columnsOf(source, lookup));
      else if (!scope.table) offerColumns(lookup(undefined, second) ?? []);
      await add(prefix, systemSchema.test(second));
      for (const r of tables) if (r.schema === second) offer(r.name, { type: 'type', detail: aboutRelation(r, false), boost: scope.table ? 6 : 1 });
    } else offerColumns(lookup(first, second) ?? []);
  } else {
    await add(prefix);
    for (const s of scope.with) offer(s.name, { type: 'type', detail: 'with', boost: 8 });
    for (const r of tables) {
      const plain = near.includes(r.schema);
      const written = plain ? quoteName(r.name) : `${quoteName(r.schema)}.${quoteName(r.name)}`;
      offer(r.name, { type: 'type', detail: aboutRelation(r, true), apply: written, boost: (scope.table ? 6 : 0) + (plain ? 1 : 0) });
    }
    for (const schema of known?.schemas ?? []) offer(schema, { type: 'namespace', detail: 'schema', boost: scope.table ? 4 : -2 });
    if (!scope.table) {
      const several = scope.sources.length > 1;
      const seen = new Set<string>();
      for (const s of scope.sources.toReversed()) {
        const fresh = columnsOf(s, lookup).filter((c) => !seen.has(c.name));
        fresh.forEach((c) => seen.add(c.name));
        offerColumns(fresh, several ? s.name : '');
        if (several || s.name !== s.table?.name) offer(s.name, { type: 'variable', detail: s.table && s.table.name !== s.name ? s.table.name : '', boost: 3 });
      }
    }
    // Where a table is due they would only be in its way.
    if (word && !scope.table && !word.startsWith('"')) {
      const loud = word.length > 1 && word === word.toUpperCase();
      for (const [list, type] of [[words, 'keyword'], [types, 'type']] as const) for (const label of list) options.push({ label: loud ? label.toUpperCase() : label, type, boost: -20 });
    }
    if (word.length > 1 && !word.startsWith('"')) for (const label of [...functions, ...more]) options.push({ label, type: 'function', apply: label + '(', boost: -3 });
  }
  // Where there is more to be asked for, every letter asks again.
  return { from: context.pos - word.length, options, validFor: known?.truncated || word.length < 2 || systemName.test(prefix) ? undefined : word.startsWith('"') ? /^"[^"]*$/ : /^[\p{L}\p{N}_$]*$/u };
}
