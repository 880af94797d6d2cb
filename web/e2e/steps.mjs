// The steps of the run, in order, one file for each thing that people do on the
// page. Each step starts from an address of its own, so that it can be run again.
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

export const steps = [...browse, ...hostile, ...ask, ...desk, ...watch, ...whole, ...take, ...choose, ...escape, ...crowd, ...leave];
