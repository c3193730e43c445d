// The kernel of JavaScript's sessions: runs one cell after another in one global scope. See agent/kernel.py.
//
// A cell is evaluated in V8's own REPL mode, as Chrome's console does it: const, let and class can be
// declared again, await works at the top, and the last value is shown.
'use strict';

const fs = require('node:fs');
const inspector = require('node:inspector');
const net = require('node:net');
const path = require('node:path');
const vm = require('node:vm');
const { createRequire } = require('node:module');
const { Writable } = require('node:stream');
const { inspect } = require('node:util');
const { clearAsyncIdStack, passBy } = require('./turns.cjs');

const CODE = 3;
const MESSAGES = 4;
const INTERRUPTED = 130;
const SIGINT = 2;
const LOOK = 50; // milliseconds
const LATE = 100; // milliseconds
const ACORN = '/usr/share/nodejs/acorn/dist/acorn.js'; // comes with Debian's node
const LOAD = "globalThis[Symbol.for('sandbox-runner.kernel')].load";
const THREADS = '/proc/self/task';
const OURS = /\n +at (?:Session\.post |process\.runNextTicks |[^\n]*(?:kernel|turns)\.cjs:)[^]*/; // of a stack
const RUNS = 'R'.charCodeAt(); // the state of a thread that does
const BRIDGE = Symbol.for('sandbox-runner.kernel');

const { closeSync, openSync, readdirSync, readSync, writeSync } = fs; // whatever the cells make of them
const { setInterval, clearInterval, performance } = globalThis;

const session = new inspector.Session();
session.connect();
const bridge = { call: null, value: undefined, load };
Object.defineProperty(globalThis, BRIDGE, { value: bridge });
globalThis.require = createRequire(path.join(process.cwd(), 'cell.js'));

process.on('uncaughtException', (error) => tell(error));
process.on('unhandledRejection', (error) => tell(error, 'Uncaught (in promise)'));

let running = null; // the cell that runs: its job, and what the inspector answers
let ended = 0; // when the last one did

// Interrupts. A thread of node takes SIGINT and ends what runs in `guarded`. It is started here, once: where
// it is started and stopped with each script, a SIGINT that comes as it stops is left for the next script.
const watchdog = process.binding('contextify');
const script = new vm.Script(`globalThis[Symbol.for('sandbox-runner.kernel')].call()`);
let thread = startWatchdog(); // its number, and the file that tells its state
const state = Buffer.alloc(512);
let guarding = false;
let listeners = []; // for SIGINT, of the cells
let listened = false; // so that node has taken SIGINT from the thread
process.on('newListener', (name) => (listened ||= name === 'SIGINT'));

function startWatchdog() {
  const others = new Set(readdirSync(THREADS));
  watchdog.startSigintWatchdog();
  const number = readdirSync(THREADS).find((name) => !others.has(name));
  return { number: Number(number), file: openSync(`${THREADS}/${number}/stat`) };
}

function asleep() {
  const length = readSync(thread.file, state, 0, state.length, 0);
  return state[state.lastIndexOf(')', length, 'latin1') + 2] !== RUNS;
}

// Makes ready for a cell: what came for a former one is over once the thread sleeps, and is forgotten.
function arm() {
  listeners = process.rawListeners('SIGINT').filter((listener) => listener !== onInterrupt);
  if (listened) {
    process.removeAllListeners('SIGINT');
    watchdog.stopSigintWatchdog();
    closeSync(thread.file);
    thread = startWatchdog();
    listened = false;
  }
  while (!asleep());
  watchdog.startSigintWatchdog();
  watchdog.stopSigintWatchdog();
}

// Before node sends itself a signal that it has no listener for, it takes its inspector down as if that were its
// end. It does not know itself by the number of its thread, though. An interrupt is taken in before this returns.
const { _kill } = process;
process._kill = (pid, signal) => {
  if (pid !== process.pid) return _kill(pid, signal);
  const error = _kill(thread.number, signal);
  while (signal === SIGINT && !listened && !asleep());
  return error;
};

function onInterrupt() {
  if (running) interrupted(running);
}

function disarm() {
  for (const listener of listeners) process.on('SIGINT', listener);
  if (process.listenerCount('SIGINT')) process.on('SIGINT', onInterrupt);
}

// From here on the cell waits for something: there is nothing to end, but each turn looks whether a SIGINT came.
function wait(cell) {
  cell.timer = setInterval(() => {}, LOOK);
}

// A turn of the event loop, for whichever cell: what it calls can be interrupted, and may be what a cell waited for.
function turn(call) {
  let called = false;
  let whole = true; // where it throws
  if (guarding) call();
  else {
    do {
      try {
        whole = guarded(() => ((called = true), call()));
      } finally {
        if (!whole) endOfTurn();
        else if (running?.answer) finish(running);
      }
    } while (!called);
  }
  return whole;
}

// Where an interrupt has ended what a former cell left behind, it was meant for the cell that waits to be read, if
// there is one; just after the end of a cell, it was meant for that.
function endOfTurn() {
  if (running) return interrupted(running);
  if (performance.now() - ended < LATE) return;
  try {
    const data = Buffer.alloc(1 << 16);
    receive(data.subarray(0, readSync(CODE, data)), true);
  } catch {} // there is none
}

// Whether `call` came to its end before an interrupt did. It is not made where one has come already.
function guarded(call) {
  let made = false;
  bridge.call = () => {
    if (watchdog.watchdogHasPendingSigint()) return;
    made = true;
    call();
  };
  guarding = true;
  try {
    script.runInThisContext({ breakOnSigint: true, displayErrors: false });
    return made;
  } catch (error) {
    if (error?.code !== 'ERR_SCRIPT_EXECUTION_INTERRUPTED') throw error;
    clearAsyncIdStack(); // as after an error that nobody catches: or node ends itself where they do not match
    return false;
  } finally {
    guarding = false;
  }
}

function writeAll(fd, data) {
  for (let position = 0; position < data.length; ) {
    try {
      position += writeSync(fd, data, position);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error; // a child has made it so that nobody waits
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

// Keeps nothing of its own from one write to the next, as node's streams do: one that an interrupt ends in the
// midst of a write would say nothing any more.
function output(fd) {
  const stream = new Writable({ write: (chunk, encoding, done) => done(writeAll(fd, chunk)) });
  stream.write = (chunk, encoding, done = encoding) => {
    const named = typeof encoding === 'string' ? encoding : 'utf8';
    writeAll(fd, typeof chunk === 'string' ? Buffer.from(chunk, named) : chunk);
    if (typeof done === 'function') process.nextTick(done);
    return true;
  };
  return Object.assign(stream, { fd, destroy: () => stream });
}

for (const [name, fd] of [['stdout', 1], ['stderr', 2]]) {
  Object.defineProperty(process, name, { configurable: true, enumerable: true, value: output(fd) });
}

const send = (text) => writeAll(MESSAGES, Buffer.from(text));

// V8 gives node no way to load what a cell imports, so that each import becomes a call of `load`. A statement
// becomes a declaration, of which a later cell may make another.
function withImports(code) {
  if (!/\bimport\b/.test(code)) return code;
  const options = { ecmaVersion: 'latest', allowAwaitOutsideFunction: true, allowImportExportEverywhere: true };
  const nodes = [];
  try {
    nodes.push(require(ACORN).parse(code, options));
  } catch (error) {
    if (/^\s*import\s*[\w'"{*]/m.test(code)) throw new SyntaxError(error.message); // V8 would say "outside a module"
    return code;
  }
  const edits = [];
  for (const node of nodes) {
    if (node.type === 'ImportExpression') edits.push([node.start, node.start + 'import'.length, LOAD]);
    if (node.type === 'ImportDeclaration') edits.push([node.start, node.end, declaration(node, code)]);
    for (const value of Object.values(node).flat()) if (typeof value?.type === 'string') nodes.push(value);
  }
  edits.sort(([a], [b]) => b - a);
  for (const [start, end, text] of edits) code = code.slice(0, start) + text + code.slice(end);
  return code;
}

function declaration({ source, specifiers, start, end }, code) {
  const name = (node) => node.name ?? node.value;
  const named = specifiers.filter(({ type }) => type !== 'ImportNamespaceSpecifier');
  const pairs = named.map(({ imported, local }) => [imported ? name(imported) : 'default', local.name]);
  const module = `await ${LOAD}(${source.raw}, {}, ${JSON.stringify(pairs.map(([exported]) => exported))})`;
  const names = pairs.map(([exported, local]) => `${JSON.stringify(exported)}: ${local}`);
  const whole = specifiers.find(({ type }) => type === 'ImportNamespaceSpecifier');
  const lines = '\n'.repeat(code.slice(start, end).split('\n').length - 1);
  if (!specifiers.length) return `void ${module};${lines}`;
  if (!whole) return `const { ${names} } = ${module};${lines}`;
  return `const ${whole.local.name} = ${module}, { ${names} } = ${whole.local.name};${lines}`;
}

let importing = null;

async function load(specifier, options, names = []) {
  importing ??= importer();
  const module = await importing(specifier, options);
  for (const name of names) {
    if (name in module) continue;
    throw new SyntaxError(`The requested module '${specifier}' does not provide an export named '${name}'`);
  }
  return module;
}

// An import() as of a file of the workspace. That it is experimental is said at its first use.
function importer() {
  const options = {
    filename: path.join(process.cwd(), 'cell.js'),
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  };
  const call = vm.runInThisContext('(specifier, options) => import(specifier, options)', options);
  const { emitWarning } = process;
  process.emitWarning = () => {};
  void call('node:module');
  process.emitWarning = emitWarning;
  return call;
}

// The value that the inspector tells of.
function valueOf(remote) {
  if (remote.objectId === undefined) {
    if (remote.unserializableValue === undefined) return remote.value;
    return vm.runInThisContext(`(${remote.unserializableValue})`);
  }
  const functionDeclaration = `function () { globalThis[Symbol.for('sandbox-runner.kernel')].value = this; }`;
  session.post('Runtime.callFunctionOn', { objectId: remote.objectId, functionDeclaration });
  session.post('Runtime.releaseObject', { objectId: remote.objectId });
  const { value } = bridge;
  bridge.value = undefined;
  return value;
}

// An error is told without our frames, which are below all of the cell's.
function tell(error, how = 'Uncaught') {
  try {
    error.stack = error.stack.replace(OURS, '');
  } catch {} // it has none, or keeps it
  process.stderr.write(`${how} ${inspect(error)}\n`);
}

function begin(job, code) {
  const cell = { job, answer: null, timer: null };
  running = cell;
  arm();
  const take = (error, answer) => {
    cell.answer = { error, ...answer };
    if (!guarding) finish(cell);
  };
  const whole = guarded(() => {
    try {
      const expression = withImports(code);
      session.post('Runtime.evaluate', { expression, replMode: true, awaitPromise: true, userGesture: false }, take);
    } catch (error) {
      take(error);
    }
    try {
      process._tickCallback(); // what follows an await that need not wait can be interrupted, too
    } catch (error) {
      process.emit('uncaughtException', error, 'uncaughtException');
    }
  });
  disarm();
  if (!whole) interrupted(cell);
  else if (cell.answer) finish(cell);
  else wait(cell);
}

function finish(cell) {
  if (running !== cell) return;
  let outcome;
  try {
    if (!guarded(() => (outcome = outcomeOf(cell.answer)))) return interrupted(cell);
  } catch (error) { // of the value's own inspection
    tell(error);
    outcome = { status: 1 };
  }
  end(cell, outcome);
}

// The exit code of a cell and what it displays.
function outcomeOf({ error, result, exceptionDetails: details }) {
  if (error || details) {
    if (error?.code === 'ERR_INSPECTOR_COMMAND') session.post('Runtime.evaluate', { expression: '0' }, endIfLost);
    tell(error ?? (details.exception ? valueOf(details.exception) : details.text));
    return { status: 1 };
  }
  const value = valueOf(result);
  if (value === undefined) return { status: 0 };
  return { status: 0, display: JSON.stringify({ data: { 'text/plain': inspect(value) }, metadata: {} }) };
}

// A cell can take the inspector down, and nothing brings it back.
function endIfLost(lost) {
  if (!lost) return;
  process.stderr.write("Node's inspector, which runs the cells, has been closed: the kernel ends.\n");
  process.exit(1);
}

function interrupted(cell) {
  if (running !== cell) return;
  process.stderr.write('Interrupted\n');
  end(cell, { status: INTERRUPTED });
}

function end(cell, { status, display }) {
  running = null;
  ended = performance.now();
  clearInterval(cell.timer);
  if (display !== undefined) send(`show ${cell.job} ${Buffer.byteLength(display)}\n${display}`);
  send(`done ${cell.job} ${status}\n`);
}

let received = Buffer.alloc(0);
let refused = false; // an interrupt came before the whole code did

function receive(data, refuse) {
  received = Buffer.concat([received, data]);
  refused ||= refuse && received.length > 0;
  const end = received.indexOf(10);
  if (end < 0) return;
  const [, job, length] = received.subarray(0, end).toString().split(' ');
  if (received.length < end + 1 + Number(length)) return;
  const code = received.subarray(end + 1, end + 1 + Number(length)).toString();
  received = received.subarray(end + 1 + Number(length));
  if (!refused) return begin(job, code);
  refused = false;
  interrupted((running = { job }));
}

const socket = new net.Socket({ fd: CODE, readable: true, writable: false })
  .on('data', (data) => receive(data, false))
  .on('end', () => process.exit(0));
passBy(turn, socket._handle);
