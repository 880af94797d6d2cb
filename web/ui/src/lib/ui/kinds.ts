// Names and icons of the kinds of relations.
import Table from '@lucide/svelte/icons/table-2';
import Eye from '@lucide/svelte/icons/eye';
import Layers from '@lucide/svelte/icons/layers';
import ListOrdered from '@lucide/svelte/icons/list-ordered';
import Globe from '@lucide/svelte/icons/globe';
import Camera from '@lucide/svelte/icons/scan-eye';
import Rows from '@lucide/svelte/icons/rows-3';
import type { RelationKind } from '$lib/api/client';
import type { databaseKinds } from '$lib/route';

export const kindName: Record<RelationKind, string> = {
  table: 'Table',
  'partitioned-table': 'Partitioned table',
  partition: 'Partition',
  view: 'View',
  'materialized-view': 'Materialized view',
  'foreign-table': 'Foreign table',
  sequence: 'Sequence',
};

export const kindsName: Record<RelationKind, string> = {
  table: 'Tables',
  'partitioned-table': 'Partitioned tables',
  partition: 'Partitions',
  view: 'Views',
  'materialized-view': 'Materialized views',
  'foreign-table': 'Foreign tables',
  sequence: 'Sequences',
};

export const kindIcon = {
  table: Table,
  'partitioned-table': Layers,
  partition: Rows,
  view: Eye,
  'materialized-view': Camera,
  'foreign-table': Globe,
  sequence: ListOrdered,
} satisfies Record<RelationKind, unknown>;

/** Objects that are no relations, many of a kind at a time. */
export const objectNames: Record<(typeof databaseKinds)[number], string> = {
  schema: 'Schemas',
  function: 'Functions',
  type: 'Types',
  extension: 'Extensions',
  role: 'Roles',
  tablespace: 'Tablespaces',
  'large-object': 'Files',
};
