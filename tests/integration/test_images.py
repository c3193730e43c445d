"""Our images, as programs find them: inside the sealed container of a run."""

import anyio
import pytest
from chosen_languages import IMAGES, LANGUAGES, RUNNABLE

from sandbox_runner import Runner, RunRequest, definitions, run
from sandbox_runner.languages import find_language
from sandbox_runner.provision.selftest import require_passed, run_selftests

MODULES = {"pyyaml": "yaml", "pillow": "PIL.Image", "matplotlib": "matplotlib.pyplot"}
COMMANDS = {"coreutils": "ls", "diffutils": "diff", "findutils": "find", "procps": "ps", "ripgrep": "rg"}
OURS = "module://sandbox_runner_figures"


@pytest.fixture
def program(repository):
    """Runs code in a language, in the image of this checkout."""

    def call(language: str, code: str, **request):
        image = f"{repository}/{find_language(language).image}:latest"
        return run(code, language=language, image=image, **request)

    return call


@pytest.fixture(scope="module")
def inside(docker_client, repository):
    """What a command prints as root in an image, outside of any sandbox."""

    def call(image: str, command: str) -> str:
        container = docker_client.create_container(
            f"{repository}/{image}:latest", ["sh", "-c", command], network_disabled=True
        )
        try:
            docker_client.start(container)
            docker_client.wait(container)
            return docker_client.logs(container).decode()
        finally:
            docker_client.remove_container(container, force=True, v=True)

    return call


def test_every_language_passes_its_self_test(repository):
    async def main():
        async with Runner.open() as runner:

            async def one(language: str, code: str) -> str:
                image = f"{repository}/{find_language(language).image}:latest"
                result = await runner.run(RunRequest(language=language, code=code, image=image))
                return result.stdout if result.exit_code == 0 else result.stdout + result.stderr

            return await run_selftests(one, LANGUAGES, report=lambda progress: None)

    outcomes = anyio.run(main)
    assert len(outcomes) == len(LANGUAGES)
    require_passed(outcomes)


@pytest.mark.parametrize("package", find_language("python").packages)
def test_every_python_package_that_is_promised_imports_without_a_word(program, package):
    result = program("python", f"import {MODULES.get(package, package)}")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("package", find_language("bash").packages)
def test_every_command_that_is_promised_is_there(program, package):
    result = program("bash", f"command -v {COMMANDS.get(package, package)}")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_every_language_tells_its_version(program, repository, language):
    image = f"{repository}/{language.image}:latest"
    result = run(command=language.version, image=image)
    assert (result.exit_code, result.stdout != "") == (0, True)


def test_plotting_needs_no_display_warns_of_nothing_and_leaves_only_the_plot(program):
    code = (
        "import os, matplotlib.pyplot as plt\n"
        "plt.plot([1, 2]); plt.title('π'); plt.savefig('plot.png')\n"
        "print(plt.get_backend(), sorted(os.listdir()), os.path.getsize('plot.png') > 1000)"
    )
    result = program("python", code)
    assert (result.stdout, result.stderr) == (f"{OURS} ['main.py', 'plot.png'] True\n", "")


def test_matplotlib_reads_the_list_of_fonts_that_is_in_the_image(program):
    code = (
        "import logging; logging.basicConfig(level=logging.DEBUG)\n"
        "import matplotlib.font_manager as m; print(m.findfont('DejaVu Sans'))"
    )
    result = program("python", code)
    assert "Using fontManager instance from /usr/share/matplotlib/fontlist" in result.stderr
    assert "generated new fontManager" not in result.stderr


def test_numpy_starts_no_thread_for_each_core_of_the_host(program):
    code = (
        "import numpy; numpy.ones((500, 500)) @ numpy.ones((500, 500))\n"
        "import threading; print(open('/proc/self/status').read().split('Threads:')[1].split()[0])"
    )
    assert program("python", code).stdout == "1\n"


def test_what_python_imports_is_compiled_already(program):
    code = "import json, os, numpy, pandas, scipy.stats, sympy, matplotlib.pyplot, sys\n" + (
        "print([n for n, m in sys.modules.items() if (c := getattr(m, '__cached__', None)) "
        "and m.__file__.startswith('/usr/lib') and not os.path.exists(c)])"
    )
    assert program("python", code).stdout == "[]\n"


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "import socket; print(socket.gethostbyname('localhost'))"),
        ("javascript", "require('dns').lookup('localhost', 4, (_, address) => console.log(address))"),
        ("bash", "getent ahosts localhost | awk '$1 !~ /:/ { print $1; exit }'"),
    ],
)
def test_localhost_resolves_although_there_is_no_network(program, language, code):
    assert program(language, code).stdout == "127.0.0.1\n"


def test_a_server_on_localhost_can_be_reached_by_name(program):
    code = (
        "import http from 'node:http'\n"
        "const server = http.createServer((_, r) => r.end('hello')).listen(8000, 'localhost', async () => {\n"
        "  console.log(await (await fetch('http://localhost:8000')).text()); server.close() })"
    )
    assert program("javascript", code).stdout == "hello\n"


def test_any_other_name_fails_at_once(program):
    code = (
        "import socket\n"
        "try: socket.gethostbyname('example.org')\n"
        "except OSError as error: print(type(error).__name__)"
    )
    assert program("python", code).stdout == "gaierror\n"


def test_python_prints_as_it_goes(program):
    assert program("python", "import sys; print(sys.stdout.write_through)").stdout == "True\n"


def test_git_works_for_a_user_without_a_name(program):
    code = "git init -q . && git add -A && git commit -qm one && git log --format='%an <%ae> %s'"
    result = program("bash", code)
    assert (result.stdout, result.stderr) == ("sandbox <sandbox@localhost> one\n", "")


@pytest.mark.parametrize("image", IMAGES)
def test_no_image_has_a_set_user_id_program_or_what_apt_leaves(inside, image):
    assert inside(image, "find / -xdev -perm /6000 -type f") == ""
    assert inside(image, "find /var/lib/apt/lists /var/cache/apt /var/log /tmp /root/.cache -type f") == (
        "find: '/root/.cache': No such file or directory\n"
    )


@pytest.mark.parametrize("image", RUNNABLE)
def test_the_agent_is_compiled_so_that_no_run_checks_its_source(inside, image):
    code = (
        "import glob; print({int.from_bytes(open(f, 'rb').read(8)[4:], 'little') "
        "for f in glob.glob('/usr/lib/sandbox-runner/agent/__pycache__/*.pyc')})"
    )
    assert inside(image, f'python3 -c "{code}"') == "{1}\n"


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_says_nothing_but_its_labels(docker_client, repository, image):
    config = docker_client.inspect_image(f"{repository}/{image}:latest")["Config"]
    assert definitions.is_current(config["Labels"])
    assert [each.partition("=")[0] for each in config["Env"] or ()] == ["PATH"]
    for field in ("Volumes", "Healthcheck", "ExposedPorts", "User", "Entrypoint", "OnBuild", "StopSignal"):
        assert not config.get(field), field


def test_tables_can_be_written_as_pandas_writes_them(program):
    code = (
        "import pandas as pd; d = pd.DataFrame({'a': [1]})\n"
        "print(d.to_markdown(), len(d.style.to_html()) > 100, d.to_latex()[:6])\n"
        "d.to_excel('t.xlsx'); print(pd.read_excel('t.xlsx')['a'].sum())"
    )
    result = program("python", code)
    assert (result.stdout.splitlines()[-1], result.stderr) == ("1", "")
