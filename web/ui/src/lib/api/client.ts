// The API as typed calls. The types are generated from openapi.yaml
// (npm run types), so a call that the contract does not know does not compile.
import createClient from 'openapi-fetch';
import { firstAnswer } from './first';
import type { components, paths } from './schema';

type Schemas = components['schemas'];
export type Session = Schemas['Session'];
export type Snapshot = Schemas['Snapshot'];
export type Warning = Schemas['Warning'];
export type Catalogue = Schemas['Catalogue'];
export type CatalogueEntry = Schemas['CatalogueEntry'];
export type Database = Schemas['Database'];
export type SchemaInfo = Schemas['Schema'];
export type Finding = components['schemas']['Finding'];
export type RelationSummary = Schemas['RelationSummary'];
export type RelationKind = Schemas['RelationKind'];
export type Relation = Schemas['Relation'];
export type Column = Schemas['Column'];
export type ForeignKey = Schemas['ForeignKey'];
export type Facets = Schemas['Facets'];
export type DatabaseObject = Schemas['Object'];
export type ByteColumn = Schemas['ByteColumn'];
export type LargeObject = Schemas['LargeObject'];
export type RowPage = Schemas['RowPage'];
export type Sample = Schemas['Sample'];
export type Growth = Schemas['Growth'];
export type GrowthStep = Schemas['GrowthStep'];
export type Layer = Schemas['Layer'];
export type MergeFrame = Schemas['MergeFrame'];
export type SessionEvent = Schemas['Event'];
export type Completion = Schemas['Completion'];
export type Problem = Schemas['Problem'];
export type Frame = Schemas['Frame'];
export type QueryEnd = Schemas['QueryEnd'];
export type QueryError = Schemas['QueryError'];
export type SavedQuery = Schemas['SavedQuery'];
export type SavedQueryInput = Schemas['SavedQueryInput'];
export type EditorTab = Schemas['EditorTab'];
export type HistoryEntry = Schemas['HistoryEntry'];
export type ChartChoice = Schemas['ChartChoice'];
export type ResultColumn = Schemas['ResultColumn'];
export type ExportRequest = Schemas['ExportRequest'];

export const base = '/api/v1';

export const api = createClient<paths>({
  baseUrl: base,
  querySerializer: { array: { style: 'form', explode: true } },
  fetch: (request) => {
    const known = request.method === 'GET' ? firstAnswer(request.url) : undefined;
    return known === undefined ? fetch(request) : Promise.resolve(Response.json(known));
  },
});

/** A call that did not work: what the server said, or that it could not be reached. */
export class Failed extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.title);
  }
  get code() {
    return this.problem.code;
  }
  /** Nothing answered at all. */
  get offline() {
    return this.problem.status === 0;
  }
}

/** The answer of a call, or a Failed. */
export async function ok<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let answer;
  try {
    answer = await call;
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    throw new Failed({ type: 'about:blank', title: 'The server does not answer', status: 0, code: 'connection-lost', detail: 'snapview is not running any more, or cannot be reached.' });
  }
  if (!answer.response.ok) throw new Failed(problemOf(answer.error, answer.response));
  return answer.data as T;
}

function problemOf(body: unknown, response: Response): Problem {
  if (body && typeof body === 'object' && 'code' in body) return body as Problem;
  return { type: 'about:blank', title: response.statusText || 'It did not work', status: response.status, code: 'internal', detail: typeof body === 'string' ? body.slice(0, 500) : undefined };
}

/** Reads a problem from an answer that was fetched by hand. */
export async function failure(response: Response): Promise<Failed> {
  const body = await response.json().catch(() => undefined);
  return new Failed(problemOf(body, response));
}

/** What any thrown value says to a person. */
export function toProblem(cause: unknown): Problem {
  if (cause instanceof Failed) return cause.problem;
  return { type: 'about:blank', title: 'It did not work', status: 0, code: 'internal', detail: cause instanceof Error ? cause.message : String(cause) };
}

export const write = { 'X-Snapview': '1' } as const;
