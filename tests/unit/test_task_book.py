"""Tasks: how each ends, whose it is, and how long and how many are kept."""

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, InputRequiredResult, TextContent

from sandbox_runner.errors import InvalidRequest
from sandbox_runner.request import Principal
from sandbox_runner.server import task_book
from sandbox_runner.server.task_book import TaskBook

pytestmark = pytest.mark.anyio

ALICE, BOB = Principal("alice"), Principal("bob")
TTL = 60.0


def said(text):
    return CallToolResult(content=[TextContent(text=text)])


async def forever(_say):
    await anyio.sleep_forever()


def answering(answer):
    """Work that needs a moment, as it does not become a task otherwise."""

    async def work(_say):
        await anyio.lowlevel.checkpoint()
        return answer

    return work


def raising(error):
    async def work(_say):
        await anyio.lowlevel.checkpoint()
        raise error

    return work


@pytest.fixture
async def book():
    async with anyio.create_task_group() as tasks:
        yield TaskBook(tasks, ttl=TTL)
        tasks.cancel_scope.cancel()


async def ended(book, work, principal=ALICE):
    """A task of the book that is over."""
    task = book.start(principal, work)
    book.add(task)
    with anyio.fail_after(10):
        await task.finished.wait()
    return task


async def test_another_principals_task_is_answered_like_one_that_never_was(book):
    task = await ended(book, answering(said("mine")))
    assert book.find(task.task_id, ALICE) is task
    with pytest.raises(InvalidRequest) as foreign:
        book.find(task.task_id, BOB)
    with pytest.raises(InvalidRequest) as unknown:
        book.find("task-0", BOB)
    assert str(foreign.value).replace(task.task_id, "task-0") == str(unknown.value)


async def test_an_error_of_the_tools_own_is_an_answer(book):
    answer = said("no").model_copy(update={"is_error": True})
    task = await ended(book, answering(answer))
    assert task.status == "completed"
    assert CallToolResult.model_validate_json(task.result) == answer


async def test_an_error_of_the_protocol_is_a_failure_with_its_words(book):
    task = await ended(book, raising(MCPError(-32603, "no engine", {"more": 1})))
    assert (task.status, task.result, task.message) == ("failed", None, "no engine")
    assert (task.error.code, task.error.data) == (-32603, {"more": 1})


@pytest.mark.parametrize("work", [raising(ZeroDivisionError("secret")), answering({"odd": "secret"})])
async def test_a_bug_is_a_failure_without_its_words_and_ends_no_other_task(book, work):
    other = book.start(ALICE, forever)
    task = await ended(book, work)
    assert task.status == "failed"
    assert "secret" not in task.error.message
    assert other.status == "working"


async def test_a_call_that_is_soon_over_has_its_answer_unchanged_and_is_no_task(book):
    answer = InputRequiredResult(request_state="asked")
    task = book.start(ALICE, answering(answer))
    assert await task.settle(10)
    assert task.answer() is answer
    with pytest.raises(InvalidRequest):
        book.find(task.task_id, ALICE)


async def test_a_call_that_soon_fails_raises_what_it_raised(book):
    error = MCPError(-32021, "declare it")
    task = book.start(ALICE, raising(error))
    assert await task.settle(10)
    with pytest.raises(MCPError) as raised:
        task.answer()
    assert raised.value is error


async def test_a_caller_who_leaves_before_there_is_a_task_leaves_when_the_call_has_ended(book):
    steps = []

    async def work(_say):
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                steps.append("container removed")

    task = book.start(ALICE, work)
    with anyio.CancelScope() as leaving:
        leaving.cancel()
        await task.settle(10)
    steps.append("left")
    assert steps == ["container removed", "left"]
    assert task.status == "cancelled"


async def test_cancelling_a_task_that_ended_changes_nothing(book):
    task = await ended(book, answering(said("over")))
    task.cancel()
    await anyio.lowlevel.checkpoint()
    assert book.find(task.task_id, ALICE).status == "completed"


async def test_a_message_is_one_line_of_bounded_length_and_ends_with_the_task(book):
    shown = []

    async def work(say):
        say("newest\nolder")
        shown.append(task.message)
        say("x" * 1000)
        shown.append(task.message)
        return said("")

    task = book.start(ALICE, work)
    assert await task.settle(10)
    assert shown == ["newest", "x" * 200]
    assert task.message is None


async def test_a_task_is_kept_for_its_time_after_its_end_and_no_longer(book):
    task = await ended(book, answering(said("over")))
    task.created -= 10 * TTL
    task.ended -= TTL - 30
    assert book.find(task.task_id, ALICE) is task
    task.ended -= 31
    with pytest.raises(InvalidRequest):
        book.find(task.task_id, ALICE)


async def test_of_too_many_finished_tasks_the_oldest_are_forgotten_and_none_that_works(book, monkeypatch):
    monkeypatch.setattr(task_book, "_FINISHED", 2)
    works = book.start(ALICE, forever)
    book.add(works)
    tasks = [await ended(book, answering(said(str(number)))) for number in range(4)]
    assert is_kept(book, [works, *tasks]) == [True, False, False, True, True]


async def test_results_have_a_bounded_room_in_which_the_newest_is_kept_in_any_case(book, monkeypatch):
    monkeypatch.setattr(task_book, "_ROOM", 10_000)
    small = await ended(book, answering(said("s")))
    half = await ended(book, answering(said("h" * 6_000)))
    assert is_kept(book, [small, half]) == [True, True]
    other = await ended(book, answering(said("o" * 6_000)))
    assert is_kept(book, [small, half, other]) == [False, False, True]
    huge = await ended(book, answering(said("x" * 100_000)))
    assert is_kept(book, [other, huge]) == [False, True]


async def test_the_first_to_go_is_the_first_that_ended_not_the_first_that_began(book, monkeypatch):
    monkeypatch.setattr(task_book, "_FINISHED", 1)
    go_on = anyio.Event()

    async def work(_say):
        await go_on.wait()
        return said("late")

    late = book.start(ALICE, work)
    book.add(late)
    early = await ended(book, answering(said("early")))
    go_on.set()
    await late.finished.wait()
    assert is_kept(book, [early, late]) == [False, True]


def is_kept(book, tasks):
    def one(task):
        try:
            return book.find(task.task_id, ALICE) is task
        except InvalidRequest:
            return False

    return [one(task) for task in tasks]
