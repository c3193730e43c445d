"""JavaScript and TypeScript as people write them: either kind of module, top-level await, errors."""

import pytest

from sandbox_runner import InputFile, run
from sandbox_runner.languages import find_language


@pytest.fixture
def program(repository):
    def call(language: str, code: str, **request):
        return run(code, language=language, image=f"{repository}/node:latest", **request)

    return call


HELPER = InputFile("helper.ts", b"export const twice = <T extends number>(x: T): number => 2 * x;\n")

PRINTS = {
    "javascript": [
        ("const os = require('os'); console.log(typeof os.cpus, require.main === module)", "function true"),
        ("import os from 'node:os'; console.log(typeof os.cpus, typeof require)", "function undefined"),
        ("const x = await Promise.resolve(3); console.log(x)", "3"),
        ("console.log(await Promise.resolve(4))", "4"),
        ("console.log(await 5, import.meta.url)", "5 file:///workspace/main.js"),
        ("import fs from 'fs'; console.log(await 6, fs.existsSync('main.js'))", "6 true"),
        ("const await = 7; console.log(await)", "7"),
        ("console.log(__filename)", "/workspace/main.js"),
    ],
    "typescript": [
        ("const x: number = 1; enum E { A, B }; console.log(x, E.B)", "1 1"),
        ("import { sep } from 'path'; import os from 'os'; console.log(sep, typeof os.cpus)", "/ function"),
        ("console.log(require.main === module, __filename as string)", "true /workspace/main.ts"),
        ("const f = async (): Promise<number> => 8; console.log(await f())", "8"),
        ("console.log(import.meta.url as string)", "file:///workspace/main.ts"),
        ("import { twice } from './helper'; console.log(twice(9))", "18"),
        ("import { twice } from './helper.js'; console.log(await Promise.resolve(twice(10)))", "20"),
        ("import('./helper').then((m) => console.log(m.twice(11)))", "22"),
        ("class P { constructor(private readonly x: number) {} }; console.log(new P(2))", "P { x: 2 }"),
        ("interface A { a: string }\nexport type T = keyof A;\nconsole.log(13 satisfies number)", "13"),
    ],
}


@pytest.mark.parametrize(
    ("language", "code", "prints"),
    [(language, code, prints) for language, rows in PRINTS.items() for code, prints in rows],
)
def test_a_program_prints_what_it_would_anywhere(program, language, code, prints):
    files = [HELPER] if language == "typescript" else []
    result = program(language, code, files=files)
    assert (result.stdout, result.stderr, result.exit_code) == (prints + "\n", "", 0)


@pytest.mark.parametrize("language", ["javascript", "typescript"])
@pytest.mark.parametrize("start", ["", "await 0; "])
def test_arguments_input_and_exit_code_are_the_programs_own(program, language, start):
    code = start + (
        "process.stdin.on('data', (d) => console.log(process.argv.slice(1).join(), String(d)))"
        ".on('end', () => process.exit(7))"
    )
    result = program(language, code, args=["a b", "c"], stdin="typed")
    main = find_language(language).file
    assert (result.stdout, result.exit_code) == (f"/workspace/{main},a b,c typed\n", 7)


@pytest.mark.parametrize("start", ["", "await 0;"])
def test_a_stack_trace_names_the_line_that_was_written(program, start):
    code = (
        f"interface A {{\n  b: string\n}}\n\n{start}\n"
        "function fail(a?: A): never {\n  throw new RangeError('too far')\n}\nfail()"
    )
    result = program("typescript", code)
    assert result.exit_code == 1
    assert "RangeError: too far\n    at fail (/workspace/main.ts:7:9)" in result.stderr
    assert "/workspace/main.ts:9:1" in result.stderr


@pytest.mark.parametrize("start", ["", "await 0;\n"])
def test_a_typing_error_is_shown_where_it_is(program, start):
    result = program("typescript", f"{start}const a: number = = 1")
    assert result.exit_code == 1
    assert 'Unexpected "="' in result.stderr
    assert f"main.ts:{1 + len(start.splitlines())}:18" in result.stderr
    assert "sandbox-runner" not in result.stderr


@pytest.mark.parametrize("code", ["await new Promise(() => {})", "console.log(await new Promise(() => {}))"])
def test_an_await_that_never_ends_gives_13_as_node_does(program, code):
    assert program("javascript", code).exit_code == 13
    assert program("typescript", code).exit_code == 13


def test_an_exit_of_0_during_an_await_stays_0(program):
    code = "setTimeout(() => process.exit(0)); console.log(await new Promise(() => {}))"
    assert program("javascript", code).exit_code == 0


def test_workers_and_forks_of_a_typescript_program_are_typescript_too(program):
    code = (
        "import { Worker, isMainThread } from 'node:worker_threads';\n"
        "import { fork } from 'node:child_process';\n"
        "const say = (what: string) => console.log(what);\n"
        "if (process.argv[2]) say('fork');\n"
        "else if (!isMainThread) say('worker');\n"
        "else new Worker(__filename).on('exit', () => fork(__filename, ['child']));"
    )
    assert program("typescript", code).stdout == "worker\nfork\n"


def test_a_package_that_says_it_is_a_module_is_believed(program):
    package = InputFile("package.json", b'{"type": "module"}')
    code = "import { twice } from './helper.ts'; console.log(twice(2), typeof require)"
    assert program("typescript", code, files=[package, HELPER]).stdout == "4 undefined\n"
