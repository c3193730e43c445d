"""Many sessions of two principals, used and ended at random in every way: none is left, none is crossed.

SANDBOX_RUNNER_TEST_SESSIONS says how many, on each engine; as many as a small machine bears are open at once.
"""

import os
import random
import secrets
import signal
from contextlib import suppress

import anyio
import pytest

from sandbox_runner import Config, Limits, Runner
from sandbox_runner.engines.docker.inventory import list_runs
from sandbox_runner.engines.oci import inventory as oci
from sandbox_runner.engines.oci.bundles import Bundle
from sandbox_runner.errors import InvalidRequest, SandboxError, SessionEnded
from sandbox_runner.request import Principal
from sandbox_runner.sessions.book import Book

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]

SESSIONS = int(os.environ.get("SANDBOX_RUNNER_TEST_SESSIONS", "20"))
AT_ONCE = 6
WAIT = 120  # seconds: a bound for a loaded machine, no test depends on it
PRINCIPALS = (Principal("alice"), Principal("bob"))
SMALL = Limits(memory="96m", pids=32, workspace="8m", tmp="8m")
LOOK = "print(secret, open('secret').read(), sorted(__import__('os').listdir('.')))"


@pytest.fixture
def chances():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")  # shown where the test fails
    return random.Random(seed)


async def use(session, secret):
    """Leaves a secret in the session, which must be the only one that is found there."""
    written = await session.run(f"secret = {secret!r}; open('secret', 'w').write(secret);")
    assert written.ok, written.stderr
    looked = await session.run(LOOK)
    assert looked.stdout == f"{secret} {secret} ['secret']\n", looked.stderr
    assert await session.read_file("secret") == secret.encode()


async def closed(entry, _kill):
    await entry.close()


async def idled_out(entry, _kill):
    entry.session._term.idle = 0.05
    with entry.session._term.used():
        pass  # so that the shorter time counts from here


async def killed(entry, kill):
    """The container is killed behind our back; who uses the session next is told."""
    session = entry.session
    kill(session._container.id)
    with suppress(SandboxError):
        await session.run("1")


async def filled(entry, _kill):
    result = await entry.session.run("x = bytearray(1 << 30)")
    assert not result.ok
    await entry.close()


async def abandoned(entry, _kill):
    """Its user goes away while code runs."""
    with anyio.move_on_after(0.2):
        await entry.session.run("import time; time.sleep(600)")
    await entry.close()


FATES = (closed, idled_out, killed, filled, abandoned)


@pytest.mark.parametrize("engine", ["docker", "oci"])
async def test_sessions_end_in_every_way_and_none_is_left_and_none_is_crossed(
    engine, docker_client, nothing_left, chances
):
    handles = {principal: [] for principal in PRINCIPALS}
    gate = anyio.Semaphore(AT_ONCE)
    config = Config(engine=engine, max_concurrent=2 * AT_ONCE, pool_max=2)

    def kill(container):
        if engine == "docker":
            docker_client.kill(container)
        else:
            os.kill(Bundle(runner.instance, container).pid(), signal.SIGKILL)

    def left(*, ahead):
        listed = list_runs(docker_client) if engine == "docker" else oci.list_runs()
        return [each for each in listed if each.instance == runner.instance and ahead >= each.ahead]

    async def live(number):
        principal = PRINCIPALS[number % 2]
        fate = FATES[number % len(FATES)] if number < len(FATES) else chances.choice(FATES)
        async with gate:
            entry = await book.open(
                principal,
                "python",
                lambda: runner.session("python", limits=SMALL, principal=principal),
                most=SESSIONS,
            )
            handles[principal].append(entry.handle)
            await use(entry.session, secrets.token_hex(8))
            for handle in handles[PRINCIPALS[1 - number % 2]][-3:]:
                with pytest.raises(InvalidRequest, match="There is no session"):
                    book.find(handle, principal)
            await fate(entry, kill)
            with anyio.fail_after(WAIT):
                await entry._gone.wait()
            with pytest.raises(SessionEnded):
                _ = book.find(entry.handle, principal).session

    async with Runner.open(config, pool=True) as runner, anyio.create_task_group() as holding:
        book = Book(holding, most_each=SESSIONS, kept=WAIT)
        async with anyio.create_task_group() as tasks:
            for number in range(SESSIONS):
                tasks.start_soon(live, number)
        reasons = {entry.reason for principal in PRINCIPALS for entry in book.of(principal)}
        assert left(ahead=False) == []
        assert sum(len(book.of(principal)) for principal in PRINCIPALS) == SESSIONS
        assert any("was closed" in reason for reason in reasons)
        assert any("idle" in reason for reason in reasons)
        assert any("container" in reason for reason in reasons), reasons
    assert left(ahead=True) == []
