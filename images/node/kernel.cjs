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
const { inspect } = require('node:util');

const CODE = 3;
const MESSAGES = 4;
const INTERRUPTED = 130;
const BRIDGE = Symbol.for('sandbox-runner.kernel');

const session = new inspector.Session();
session.connect();
const bridge = { evaluate: null, value: undefined };
Object.defineProperty(globalThis, BRIDGE, { value: bridge });
globalThis.require = createRequire(path.join(process.cwd(), 'cell.js'));
let interrupt = null; // of the cell that runs

const onInterrupt = () => interrupt?.();
process.on('SIGINT', onInterrupt);
process.on('uncaughtException', (error) => process.stderr.write(`Uncaught ${inspect(error)}\n`));
process.on('unhandledRejection', (error) => process.stderr.write(`Uncaught (in promise) ${inspect(error)}\n`));

function send(text) {
  const data = Buffer.from(text);
  for (let position = 0; position < data.length; ) position += fs.writeSync(MESSAGES, data, position);
}

function show(job, value) {
  const line = JSON.stringify({ data: { 'text/plain': inspect(value) }, metadata: {} });
  send(`show ${job} ${Buffer.byteLength(line)}\n${line}`);
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

const terminated = (error) => (/terminated/.test(error.message) ? INTERRUPTED : error);

// An error is told without the frames of this file, which are below all of the cell's.
function tell(error) {
  if (typeof error?.stack === 'string') error.stack = error.stack.replace(/\n +at Session\.post [^]*/, '');
  process.stderr.write(`Uncaught ${inspect(error)}\n`);
}

function evaluate(code) {
  return new Promise((resolve, reject) => {
    interrupt = () => reject(INTERRUPTED);
    bridge.evaluate = () => {
      const options = { expression: code, replMode: true, awaitPromise: true, userGesture: false };
      session.post('Runtime.evaluate', options, (error, answer) => (error ? reject(terminated(error)) : resolve(answer)));
    };
    try {
      vm.runInThisContext(`globalThis[Symbol.for('sandbox-runner.kernel')].evaluate()`, { breakOnSigint: true });
    } catch (error) {
      reject(error.code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED' ? INTERRUPTED : error);
    }
    process.off('SIGINT', onInterrupt); // Node 20 has forgotten it by now
    process.on('SIGINT', onInterrupt);
  });
}

async function run(job, code) {
  try {
    const { result, exceptionDetails } = await evaluate(code);
    if (exceptionDetails) {
      const error = exceptionDetails.exception ? valueOf(exceptionDetails.exception) : exceptionDetails.text;
      tell(error);
      return 1;
    }
    const value = valueOf(result);
    if (value !== undefined) show(job, value);
    return 0;
  } catch (error) {
    process.stderr.write(error === INTERRUPTED ? 'Interrupted\n' : `Uncaught ${inspect(error)}\n`);
    return error === INTERRUPTED ? INTERRUPTED : 1;
  } finally {
    interrupt = null;
  }
}

async function take(job, code) {
  const status = await run(job, code);
  send(`done ${job} ${status}\n`);
}

let received = Buffer.alloc(0);
new net.Socket({ fd: CODE, readable: true, writable: false })
  .on('data', (data) => {
    received = Buffer.concat([received, data]);
    const end = received.indexOf(10);
    if (end < 0) return;
    const [, job, length] = received.subarray(0, end).toString().split(' ');
    if (received.length < end + 1 + Number(length)) return;
    const code = received.subarray(end + 1, end + 1 + Number(length)).toString();
    received = received.subarray(end + 1 + Number(length));
    void take(job, code);
  })
  .on('end', () => process.exit(0));
