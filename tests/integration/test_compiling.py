"""Languages that are compiled: two stages in one container, each with limits and an outcome of its own."""

import anyio
import pytest

from sandbox_runner import InputFile, Limits, Runner, RunRequest
from sandbox_runner.config import Config
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.events import Output, Started

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left")]
MIB = 1 << 20

HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 3; }\n'
WARNS = '#include <stdio.h>\nint main(void) { int unused; puts("hello"); return 0; }\n'
BROKEN = "int main(void) { return missing; }\n"
ENDLESS = '#include "/dev/zero"\n'
SLOW = "#include <iostream>\n#include <ranges>\nint main() { std::cout << 1; }\n"
TAKES = """
#include <stdlib.h>
int main(void) {
    volatile char *taken = malloc(200 << 20);
    for (int at = 0; at < 200 << 20; at += 4096) taken[at] = 1;
    return 0;
}
"""


@pytest.fixture(params=["docker", "oci"])
async def runner(request):
    async with Runner.open(Config(engine=request.param)) as opened:
        yield opened


def c(code: str, **more) -> RunRequest:
    return RunRequest(language="c", code=code, **more)


async def test_a_program_is_compiled_and_run(runner):
    result = await runner.run(c(HELLO))
    assert (result.status, result.exit_code, result.stdout, result.compiler) == ("exited", 3, "hello\n", "")
    assert (result.compile.status, result.compile.exit_code) == ("exited", 0)
    assert result.usage.stdout_bytes == 6


async def test_a_command_in_a_compiled_language_compiles_nothing(runner):
    result = await runner.run(RunRequest(language="c", command=["gcc", "-dumpversion"]))
    assert (result.status, result.compile, result.compiler) == ("exited", None, "")
    assert result.stdout.strip().isdigit()


async def test_what_does_not_compile_is_not_run_and_says_why(runner):
    result = await runner.run(c(BROKEN))
    assert (result.status, result.exit_code, result.signal) == ("compile_failed", None, None)
    assert (result.compile.status, result.compile.exit_code) == ("exited", 1)
    assert "'missing' undeclared" in result.compiler.replace("\u2018", "'").replace("\u2019", "'")
    assert (result.stdout, result.stderr, result.ok) == ("", "", False)


async def test_the_compilers_words_are_apart_from_the_programs(runner):
    async with runner.stream(c(WARNS)) as stream:
        events = [event async for event in stream]
        result = await stream.result()
    said = [(event.stream, event.offset) for event in events if isinstance(event, Output)]
    assert ("compiler", 0) in said
    assert said[-1] == ("stdout", 0)
    assert sum(isinstance(event, Started) for event in events) == 1
    assert "unused variable" in result.compiler
    assert result.stdout == "hello\n"


async def test_a_program_may_have_several_files(runner):
    main = '#include "answer.h"\n#include <stdio.h>\nint main(void) { printf("%d\\n", answer()); }\n'
    files = [
        InputFile("answer.h", b"int answer(void);\n"),
        InputFile("answer.c", b'#include "answer.h"\nint answer(void) { return 42; }\n'),
    ]
    assert (await runner.run(c(main, files=files))).stdout == "42\n"


async def test_stdin_arguments_and_artifacts_are_the_programs(runner):
    code = (
        "#include <stdio.h>\nint main(int n, char **words) { char line[9]; fgets(line, 9, stdin);"
        ' printf("%s %s", words[1], line); fclose(fopen("left.txt", "w")); }\n'
    )
    result = await runner.run(c(code, args=["one"], stdin=b"two", artifacts=["*.txt"]))
    assert (result.stdout, [each.path for each in result.artifacts]) == ("one two", ["left.txt"])


async def test_a_compiler_has_a_time_of_its_own(runner):
    request = RunRequest(language="c++", code=SLOW, limits=Limits(compile_time=0.05))
    result = await runner.run(request)
    assert (result.status, result.compile.status) == ("compile_failed", "timed_out")
    assert result.limits_hit == {"wall_time": 1}


async def test_a_compiler_has_memory_of_its_own(runner):
    result = await runner.run(c(ENDLESS, limits=Limits(compile_memory=64 * MIB)))
    assert (result.status, result.limits_hit.get("memory", 0) > 0) == ("compile_failed", True)


@pytest.mark.parametrize(("memory", "status"), [(64 * MIB, "out_of_memory"), (400 * MIB, "exited")])
async def test_the_programs_memory_is_its_own_however_much_the_compiler_had(runner, memory, status):
    result = await runner.run(c(TAKES, limits=Limits(memory=memory, compile_memory=512 * MIB)))
    assert result.status == status


async def test_a_compiler_that_leaves_more_than_the_program_may_have_is_refused(runner):
    large = '__asm__(".data; .fill 104857600, 1, 7; .text");\nint main(void) { return 0; }\n'
    with pytest.raises(InvalidRequest, match="raise memory"):
        await runner.run(c(large, limits=Limits(memory=32 * MIB, tmp=256 * MIB, compile_memory=1024 * MIB)))


async def test_a_cancellation_while_it_compiles_is_one(runner):
    request = RunRequest(language="c++", code=SLOW)
    async with runner.stream(request) as stream:
        async for event in stream:
            if isinstance(event, Started):
                stream.cancel()
        result = await stream.result()
    assert (result.status, result.compile.status) == ("cancelled", "cancelled")


async def test_what_a_compiler_leaves_running_is_gone_before_the_program_begins(runner):
    code = (
        'package main\nimport ("fmt"; "os")\n'
        'func main() { names, _ := os.ReadDir("/proc"); n := 0\n'
        "for _, name := range names { if name.Name()[0] <= '9' { n++ } }; fmt.Println(n) }\n"
    )
    result = await runner.run(RunRequest(language="go", code=code))
    assert (result.stdout, result.compiler) == ("2\n", "")  # PID 1 and the program


async def test_two_at_once_do_not_meet(runner):
    results = {}

    async def one(number: int) -> None:
        code = f"int main(void) {{ return {number}; }}\n"
        results[number] = (await runner.run(c(code))).exit_code

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(one, number)
    assert results == {number: number for number in range(4)}
