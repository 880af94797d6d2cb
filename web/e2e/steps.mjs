// The steps of the run, in order, one file for each thing that people do on the
// page. Each step starts from an address of its own, so that it can be run again.
//
// A step may say where it tells something: on 'session', a real backup that is
// open, or on 'devserver', which has what few backups have. make test runs it
// there alone; a step that says neither runs on both, for what it finds differs.
import { browse } from './steps/browse.mjs';
import { hostile } from './steps/hostile.mjs';
import { ask } from './steps/ask.mjs';
import { desk } from './steps/desk.mjs';
import { watch } from './steps/watch.mjs';
import { whole } from './steps/whole.mjs';
import { take } from './steps/take.mjs';
import { choose } from './steps/choose.mjs';
import { crowd } from './steps/crowd.mjs';
import { escape } from './steps/escape.mjs';
import { leave } from './steps/leave.mjs';

const on = (where, steps) => steps.map((step) => ({ on: where, ...step }));

export const steps = [
  ...browse, ...on('devserver', hostile), ...on('session', ask), ...on('session', desk), ...watch, ...on('devserver', whole),
  ...on('session', take), ...on('devserver', choose), ...escape, ...on('session', crowd), ...on('session', leave),
];
