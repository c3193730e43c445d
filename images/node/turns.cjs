// How node's event loop comes to JavaScript: by timers, by callbacks of whatever has happened, and by what follows
// them, such as the rest of a function that awaited. Needs node's --expose-internals.
'use strict';

const { emitWarning } = process;
process.emitWarning = () => {}; // of their being internal
const { internalBinding } = require('internal/test/binding');
process.emitWarning = emitWarning;
const { getTimerCallbacks, immediateInfoFields, immediateQueue, kRefed } = require('internal/timers');
const { clearAsyncIdStack, nativeHooks } = require('internal/async_hooks');

const asyncWrap = internalBinding('async_wrap');
const tasks = internalBinding('task_queue');
const timers = internalBinding('timers');
const { kBefore, kAfter, kStackLength, kUsesExecutionAsyncResource } = asyncWrap.constants;
const HAS_TICK = 0;
const runTicks = process._tickCallback;
const { apply } = Reflect;

// From here on the loop makes each of its calls by `turn(call)`, which tells whether it came to its end. Callbacks of
// `exempt` are called as ever.
function passBy(turn, exempt) {
  let processImmediate;
  let processTimers;

  function made(call) {
    let result;
    try {
      const whole = turn(() => (result = call()));
      return { whole, result };
    } finally {
      stayBetween();
    }
  }

  function onTimers(now) {
    for (;;) {
      const { whole, result } = made(() => processTimers(now));
      if (whole) return result; // when to come back
      now = timers.getLibuvNow();
    }
  }

  // As node's own callbackTrampoline does it.
  function onCallback(asyncId, resource, callback, ...args) {
    asyncWrap.execution_async_resources[asyncWrap.async_hook_fields[kStackLength] - 1] = resource;
    const call = () => {
      if (asyncId !== 0 && asyncWrap.async_hook_fields[kBefore] > 0) nativeHooks.before(asyncId);
      const result = apply(callback, this, args);
      if (asyncId !== 0 && asyncWrap.async_hook_fields[kAfter] > 0) nativeHooks.after(asyncId);
      return result;
    };
    const { whole, result } = this === exempt ? { whole: true, result: call() } : made(call);
    if (!whole && callback === processImmediate) setUpTimers();
    asyncWrap.execution_async_resources.pop();
    return result;
  }

  // Node itself alters these, the first with hooks of async_hooks, the last at the end of its ticks.
  function stayBetween() {
    asyncWrap.setCallbackTrampoline(onCallback);
    asyncWrap.async_hook_fields[kUsesExecutionAsyncResource] = 1; // so that it is called
    tasks.tickInfo[HAS_TICK] = 1; // or promises would be gone on with outside of any turn
  }

  // Anew where the callback of an immediate was interrupted: those after it are lost.
  function setUpTimers() {
    ({ processImmediate, processTimers } = getTimerCallbacks(runTicks));
    timers.setupTimers(processImmediate, onTimers);
    countImmediates();
  }

  setUpTimers();
  tasks.setTickCallback(() => made(runTicks).result);
  stayBetween();
}

// The loop never rests while it counts on an immediate.
function countImmediates() {
  const { kCount, kRefCount, kHasOutstanding } = immediateInfoFields;
  const { immediateInfo } = timers;
  immediateInfo[kCount] = immediateInfo[kRefCount] = immediateInfo[kHasOutstanding] = 0;
  for (let one = immediateQueue.head; one; one = one._idleNext) {
    immediateInfo[kCount]++;
    if (one[kRefed]) immediateInfo[kRefCount]++;
  }
}

module.exports = { clearAsyncIdStack, passBy };
