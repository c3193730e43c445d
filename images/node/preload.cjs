// Preloaded (node --require) into each program: lets this Node run TypeScript, and JavaScript
// whose top-level await it does not recognise.
//
// A preload, rather than a launcher that starts the program, leaves argv, stdin, exit codes, forks
// and worker threads as Node makes them. esbuild strips the types of each file as it is loaded;
// nothing is type-checked. TypeScript is loaded as CommonJS, its imports turned into require(),
// unless it needs what only an ES module has: top-level await or import.meta.
'use strict';

const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { fileURLToPath, pathToFileURL } = require('node:url');

const TYPESCRIPT = /\.[mc]?ts$/;
const NEEDS_ES_MODULE = /Top-level await is currently not supported|"import\.meta" is not available/;
const AsyncFunction = (async () => {}).constructor;

function esbuild(file, format) {
  const options = [
    path.basename(file), `--format=${format}`, '--platform=node', '--target=node20', '--loader:.mts=ts',
    '--sourcemap=inline', '--sources-content=false', '--log-level=warning', '--color=false',
  ];
  if (format === 'cjs') options.push('--log-override:empty-import-meta=error', '--supported:dynamic-import=false');
  const cwd = path.dirname(file); // source maps name the file relative to this
  const { spawnSync } = require('node:child_process');
  const result = spawnSync('/usr/bin/esbuild', options, { cwd, encoding: 'utf8', maxBuffer: 1 << 30 });
  if (result.error) throw result.error;
  return { code: result.stdout, errors: result.status === 0 ? '' : result.stderr || 'esbuild was killed' };
}

function refuse(errors, isMain) {
  if (isMain) {
    process.stderr.write(errors);
    process.exit(1);
  }
  const error = new SyntaxError(errors.trim());
  error.stack = error.message; // esbuild's text shows the place; our own frames would only hide it
  throw error;
}

let registered = false;

function registerHooks(module = '', suffix = '') {
  if (registered) return;
  registered = true;
  Module.register(pathToFileURL(__filename), { data: { module, suffix } });
}

function runAsModule(file) {
  importAsModule(file);
}

// Imports the program, ``suffix`` added to its text.
function importAsModule(file, suffix = '') {
  const url = pathToFileURL(file).href;
  registerHooks(url, suffix);
  let settled = false;
  process.once('exit', () => {
    if (!settled) process.exitCode ??= 13; // as Node does for a top-level await that never ends
  });
  return import(url).then(() => { settled = true; }); // a rejection stays unhandled: Node shows it best
}

function loadTypeScript(module, file) {
  const isMain = module.id === '.';
  if (!file.endsWith('.mts')) {
    const { code, errors } = esbuild(file, 'cjs');
    if (!errors) return module._compile(code, file);
    if (!NEEDS_ES_MODULE.test(errors)) refuse(errors, isMain);
  }
  if (isMain) return runAsModule(file);
  throw new Error(`${file} is an ES module; load it with import().`);
}

for (const extension of ['.ts', '.mts', '.cts']) Module._extensions[extension] = loadTypeScript;

function compiles(compile) {
  try {
    compile();
    return true;
  } catch {
    return false;
  }
}

function isInModulePackage(file) {
  const manifest = path.join(path.dirname(file), 'package.json');
  return fs.existsSync(manifest) && /"type"\s*:\s*"module"/.test(fs.readFileSync(manifest, 'utf8'));
}

// Node 20 takes `console.log(await f())` for a broken CommonJS program: neither import nor export
// is there to tell, and the parser's complaint is not about await.
function isUnrecognisedModule(file) {
  const code = fs.readFileSync(file, 'utf8').replaceAll('import.meta', '({})');
  if (!/\bawait\b/.test(code) || compiles(() => new Function('exports', 'require', 'module', code))) return false;
  return compiles(() => new AsyncFunction(code));
}

function prepareMain(file) {
  if (!fs.existsSync(file)) return;
  if (file.endsWith('.js')) {
    if (isUnrecognisedModule(file)) Module._extensions['.js'] = (_, main) => runAsModule(main);
  } else if (TYPESCRIPT.test(file)) {
    // Node itself loads the program as an ES module where its package says so, and then needs the hooks.
    if (isInModulePackage(file)) registerHooks();
  }
}

// A container that is started ahead has Node wait here, before it looks at anything of the program. It has no answer.
const BEGIN = 62;
const ANSWERS = 63;

function waitToBegin() {
  if (process.ppid !== 1 || !fs.existsSync(`/proc/self/fd/${BEGIN}`) || !fs.fstatSync(BEGIN).isFIFO()) return;
  if (!fs.readSync(BEGIN, Buffer.alloc(1))) process.exit(1);
  fs.closeSync(BEGIN);
  fs.closeSync(ANSWERS);
}

if (require('node:worker_threads').threadId === 0) waitToBegin();
if (process.argv[1] && require('node:worker_threads').threadId === 0) prepareMain(path.resolve(process.argv[1]));

// From here on: the hooks for ES modules, which Node calls in a thread of its own.
let moduleUrl = '';
let moduleSuffix = '';

async function initialize(data) {
  moduleUrl = data.module;
  moduleSuffix = data.suffix;
}

async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND' || !/^\.{0,2}\//.test(specifier)) throw error;
    for (const guess of [`${specifier}.ts`, specifier.replace(/js$/, 'ts'), `${specifier}/index.ts`]) {
      const url = new URL(guess, context.parentURL);
      if (fs.existsSync(url)) return next(url.href, context);
    }
    throw error;
  }
}

async function load(url, context, next) {
  if (!url.startsWith('file:')) return next(url, context);
  if (url === moduleUrl && url.endsWith('.js')) {
    const source = fs.readFileSync(fileURLToPath(url), 'utf8') + moduleSuffix;
    return { format: 'module', source, shortCircuit: true };
  }
  if (!TYPESCRIPT.test(url)) return next(url, context);
  const { code, errors } = esbuild(fileURLToPath(url), 'esm');
  if (errors) refuse(errors, false);
  return { format: 'module', source: url === moduleUrl ? code + moduleSuffix : code, shortCircuit: true };
}

module.exports = { initialize, resolve, load, esbuild, compiles, importAsModule, isInModulePackage, NEEDS_ES_MODULE };
