"""Handles of sessions: whose each is, what becomes of it, and how many there may be."""

import secrets
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest

from sandbox_runner.errors import InvalidRequest, QuotaExceeded, SessionEnded, StartFailed
from sandbox_runner.request import Principal
from sandbox_runner.sessions import book as module
from sandbox_runner.sessions.book import Book
from sandbox_runner.sessions.term import Term

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

ALICE, BOB = Principal("alice"), Principal("bob")
LONG = 1000.0
WAIT = 30.0  # seconds: a bound, no test depends on it


class Lasting:
    """A session without a container."""

    def __init__(self, term):
        self.id = secrets.token_urlsafe(24)
        self.over = term.ended


@asynccontextmanager
async def a_book(*, most=8, most_each=4, kept=LONG):
    async with anyio.create_task_group() as tasks:
        book = Book(tasks, most_each=most_each, kept=kept)
        book.open = partial(book.open, most=most)
        yield book
        tasks.cancel_scope.cancel()


def lasting(left, *, idle=LONG, ttl=LONG, cpu_time=LONG):
    """What opens a session that says in ``left`` that it was left."""

    @asynccontextmanager
    async def opening():
        session = Lasting(Term(ttl=ttl, idle=idle, cpu_time=cpu_time))
        try:
            yield session
        finally:
            left.append(session)

    return opening


async def test_a_session_is_found_by_its_owner_alone_until_it_is_closed():
    left = []
    async with a_book() as book:
        entry = await book.open(ALICE, "python", lasting(left))
        assert book.find(entry.handle, ALICE) is entry
        assert isinstance(entry.session, Lasting)
        await entry.close()
        assert left
        with pytest.raises(SessionEnded, match="was closed"):
            _ = book.find(entry.handle, ALICE).session
        await entry.close()


async def test_an_unknown_handle_and_anothers_are_answered_alike():
    async with a_book() as book:
        entry = await book.open(ALICE, "python", lasting([]))
        with pytest.raises(InvalidRequest) as foreign:
            book.find(entry.handle, BOB)
        await entry.close()
        with pytest.raises(InvalidRequest) as foreign_and_over:
            book.find(entry.handle, BOB)
        with pytest.raises(InvalidRequest) as unknown:
            book.find("x" * len(entry.handle), BOB)
        told = {str(error.value).replace(entry.handle, "…") for error in (foreign, foreign_and_over)}
        assert told == {str(unknown.value).replace("x" * len(entry.handle), "…")}
        assert book.of(BOB) == []
        for odd in ("", "\ud800", "\0", "x" * 100_000):
            with pytest.raises(InvalidRequest):
                book.find(odd, ALICE)


async def test_one_that_expires_is_left_and_says_so_for_a_while():
    left = []
    async with a_book() as book:
        entry = await book.open(ALICE, "python", lasting(left, idle=0.01))
        with anyio.fail_after(WAIT):
            await entry._gone.wait()
        assert left
        with pytest.raises(SessionEnded, match=r"expired after 0\.01 s idle; open another one"):
            _ = book.find(entry.handle, ALICE).session
    async with a_book(kept=-1) as book:
        entry = await book.open(ALICE, "python", lasting(left))
        await entry.close()
        with pytest.raises(InvalidRequest, match="There is no session"):
            book.find(entry.handle, ALICE)


async def test_only_so_many_that_are_over_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "_FINISHED", 2)
    async with a_book() as book:
        entries = [await book.open(ALICE, "python", lasting([])) for _ in range(4)]
        for entry in entries:
            await entry.close()
        assert book.of(ALICE) == [entries[3], entries[2]]


async def test_there_are_at_most_so_many_and_so_many_of_each_principal():
    async with a_book(most=3, most_each=2) as book:
        first = await book.open(ALICE, "python", lasting([]))
        await book.open(ALICE, "python", lasting([]))
        with pytest.raises(QuotaExceeded, match="max_sessions_each"):
            await book.open(ALICE, "python", lasting([]))
        await book.open(BOB, "python", lasting([]))
        with pytest.raises(QuotaExceeded, match=r"\(max_sessions\)"):
            await book.open(BOB, "python", lasting([]))
        await first.close()
        await book.open(BOB, "python", lasting([]))


async def test_one_that_cannot_be_opened_raises_to_its_opener_and_is_no_session():
    @asynccontextmanager
    async def failing():
        raise StartFailed("no")
        yield

    async with a_book(most=1) as book:
        for _ in range(3):
            with pytest.raises(StartFailed):
                await book.open(ALICE, "python", failing)
        await book.open(ALICE, "python", lasting([]))
        assert len(book.of(ALICE)) == 1


async def test_an_opener_who_gives_up_leaves_no_session():
    left = []

    @asynccontextmanager
    async def slow():
        try:
            await anyio.sleep_forever()
            yield
        finally:
            left.append(True)

    async with a_book(most=1) as book:
        with anyio.move_on_after(0.01):
            await book.open(ALICE, "python", slow)
        assert left
        await book.open(ALICE, "python", lasting([]))


async def test_one_whose_leaving_fails_does_not_end_the_others():
    @asynccontextmanager
    async def failing():
        yield Lasting(Term(ttl=LONG, idle=LONG, cpu_time=LONG))
        raise StartFailed("the engine is gone")

    async with a_book() as book:
        entry = await book.open(ALICE, "python", failing)
        other = await book.open(ALICE, "python", lasting([]))
        await entry.close()
        assert book.find(other.handle, ALICE).session


async def test_all_are_left_when_the_server_ends():
    left = []
    async with a_book() as book:
        for _ in range(4):
            await book.open(ALICE, "python", lasting(left))
    assert len(left) == 4


async def test_a_term_ends_by_time_idleness_or_cpu_time_and_not_while_it_is_used():
    with anyio.fail_after(WAIT):
        assert "expired 0.01 s after it was opened" in await Term(ttl=0.01, idle=LONG, cpu_time=LONG).ended()
        term = Term(ttl=LONG, idle=0.01, cpu_time=5)
        async with anyio.create_task_group() as tasks:
            with term.used():
                tasks.start_soon(term.ended)
                for _ in range(1000):
                    await anyio.lowlevel.checkpoint()
                await anyio.to_thread.run_sync(pow, 7, 10**6)
                assert not term.reason
        assert "expired after 0.01 s idle" in term.reason
        term = Term(ttl=LONG, idle=LONG, cpu_time=5)
        term.spend(5.5)
        assert "used up its 5 s of CPU time" in await term.ended()
        with pytest.raises(SessionEnded, match="used up its 5 s of CPU time; open another one"):
            with term.used():
                pass
