"""No promise without a test, no test without a promise, and none that rests on the fake alone."""

import test_engine_contract
import test_job_contract
import test_session_contract
from contract import PROMISES
from engines import ENGINES, REAL

SUITES = (test_engine_contract, test_job_contract, test_session_contract)
TESTS = {name: test for suite in SUITES for name, test in vars(suite).items() if name.startswith("test_")}


def promised(test) -> list[str]:
    return [mark.args[0] for mark in getattr(test, "pytestmark", []) if mark.name == "promise"]


def test_every_test_proves_a_promise_and_every_promise_has_a_test():
    assert {name for test in TESTS.values() for name in promised(test)} == set(PROMISES)
    assert [name for name, test in TESTS.items() if len(promised(test)) != 1] == []


def test_every_test_runs_on_a_real_engine_too():
    assert REAL
    assert set(ENGINES) > set(REAL)
    for test in TESTS.values():
        assert "bench" in test.__code__.co_varnames[: test.__code__.co_argcount]
