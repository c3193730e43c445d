// Calls the function `execute` of a program: node --require=preload.cjs function.cjs PROGRAM [ARG]…
//
// Its argument is the JSON text on descriptor 3, and what it returns, or resolves to, goes to descriptor 4
// as JSON. What it prints is its own. The function need not be exported: a line added to the program's
// text, after its last, hands it over.
'use strict';

const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { inspect } = require('node:util');
const { esbuild, compiles, importAsModule, isInModulePackage, NEEDS_ES_MODULE } = require('./preload.cjs');

const GIVEN = 3;
const RETURNED = 4;
const LONGEST = 1 << 20; // bytes of what is returned
const KEY = 'sandbox-runner.execute';
const HAND_OVER = `\n;globalThis[Symbol.for('${KEY}')] = typeof execute === 'undefined' ? undefined : execute;\n`;

function refuse(sentence) {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}

function given() {
  const text = fs.readFileSync(GIVEN, 'utf8');
  fs.closeSync(GIVEN);
  try {
    return JSON.parse(text);
  } catch (error) {
    return refuse(`The input is not JSON: ${error.message}`);
  }
}

function isModule(file) {
  if (file.endsWith('.ts')) {
    const { errors } = esbuild(file, 'cjs');
    return NEEDS_ES_MODULE.test(errors) || isInModulePackage(file);
  }
  const code = fs.readFileSync(file, 'utf8').replace(/^#!.*/, '');
  return isInModulePackage(file) || !compiles(() => new Function('exports', 'require', 'module', code));
}

function runAsScript(file) {
  const compile = Module.prototype._compile;
  Module.prototype._compile = function (code, name, ...others) {
    return compile.call(this, name === file ? code + HAND_OVER : code, name, ...others);
  };
  const main = new Module(file);
  main.id = '.'; // as Node calls the main program
  process.mainModule = main;
  Module._cache[file] = main;
  main.load(file);
  return main.exports;
}

// The frames of this file and of Node would only hide where it was thrown.
function theirs(error) {
  if (error instanceof Error && typeof error.stack === 'string') {
    const lines = error.stack.split('\n').filter((line) => !/^ +at .*(sandbox-runner\/|node:internal\/)/.test(line));
    if (lines.some((line) => /^ +at /.test(line))) error.stack = lines.join('\n');
  }
  return error;
}

async function load(program) {
  try {
    if (!isModule(program)) return runAsScript(program);
    await importAsModule(program, HAND_OVER);
    return {};
  } catch (error) {
    throw theirs(error); // shown by Node, which knows the place of an error in syntax
  }
}

async function call(execute, value) {
  try {
    return await execute(value);
  } catch (error) {
    return refuse(error instanceof Error ? inspect(theirs(error)) : `Uncaught ${inspect(error)}`);
  }
}

function checked(key, value) {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${value} is not a JSON number`);
  if (!key.isWellFormed() || (typeof value === 'string' && !value.isWellFormed())) {
    throw new TypeError('a text holds half of a surrogate pair');
  }
  return value;
}

function giveBack(result) {
  let text;
  try {
    text = JSON.stringify(result === undefined ? null : result, checked);
    if (text === undefined) throw new TypeError(`a ${typeof result} has no form in JSON`);
  } catch (error) {
    const reason = error.message.split('\n')[0];
    refuse(
      `What execute() returned cannot be written as JSON: ${reason}. ` +
        'Return only objects, arrays, texts, finite numbers, booleans and null.',
    );
  }
  const size = Buffer.byteLength(text);
  if (size > LONGEST) {
    refuse(
      `What execute() returned has ${size} bytes as JSON, more than ${LONGEST}; ` +
        'return less, or write it to a file.',
    );
  }
  try {
    fs.writeFileSync(RETURNED, text);
  } catch (error) {
    refuse(`What execute() returned could not be given back, as descriptor ${RETURNED} was closed: ${error.message}`);
  }
}

async function main() {
  const value = given();
  process.argv.splice(1, 1);
  const program = (process.argv[1] = path.resolve(process.argv[1]));
  let settled = false;
  process.once('exit', () => {
    if (!settled) process.exitCode ??= 13; // as Node does for a top-level await that never ends
  });
  const exported = await load(program);
  const execute = globalThis[Symbol.for(KEY)] ?? exported?.execute;
  if (typeof execute !== 'function') {
    refuse('The code defines no function execute(input); define one that takes the input and returns a result.');
  }
  giveBack(await call(execute, value));
  settled = true;
}

main();
