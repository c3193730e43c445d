"""The protocol's conformance suite against the real HTTP server, its key on, in both eras.

Its fixtures are mounted by the test (see fixture_server.py). Counted is what succeeded, so that a run
that tests nothing fails.
"""

import urllib.error
import urllib.request

import pytest
from conformance_suite import run_suite

# Checks that succeed, in the scenarios that a revision requires. More is welcome: the suite may grow.
LEAST = {"2025-11-25": 70, "2026-07-28": 115}
# An unknown tool's answer is enough for these, so they tell nothing.
EMPTY = {"tools-call-simple-text", "tools-call-error"}
# What succeeds of the extension for tasks, which no revision requires but this server has.
TASKS = {
    "tasks-lifecycle": 9,
    "tasks-capability-negotiation": 5,
    "tasks-wire-fields": 4,
    "tasks-request-state-removal": 3,
    "tasks-request-headers": 5,
    "tasks-dispatch-and-envelope": 9,
    "tasks-required-task-error": 3,
    "tasks-mrtr-composition": 2,
}
# What neither is required nor succeeds, and why.
BEYOND = {
    "tasks-mrtr-input": "no tool asks for anything once it is a task",
    "server-sse-polling": "no stream can be resumed: an answer that was missed is read with read_output",
    "json-schema-2020-12": "its tool needs a schema that no function has",
}


@pytest.fixture(scope="module", params=LEAST)
def revision(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def findings(revision, with_fixtures, tmp_path_factory):
    return run_suite(with_fixtures.url, revision, tmp_path_factory.mktemp("suite"))


def test_no_required_check_fails(findings):
    failed = {scenario: findings.failures(scenario) for scenario in sorted(findings.scored)}
    assert {scenario: said for scenario, said in failed.items() if said} == {}


def test_every_required_scenario_checks_something(findings, revision):
    counted = {scenario: findings.passed(scenario) for scenario in findings.scored - EMPTY}
    assert [scenario for scenario, passed in counted.items() if not passed] == []
    empty = sum(findings.passed(scenario) for scenario in EMPTY)
    assert sum(counted.values()) >= LEAST[revision] - empty


def test_the_server_asks_for_the_key(with_fixtures):
    request = urllib.request.Request(
        with_fixtures.url, b"{}", {"Authorization": "Bearer of-another", "Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=60)


@pytest.mark.parametrize("revision", ["2026-07-28"], indirect=True)
@pytest.mark.parametrize("scenario", TASKS)
def test_the_extension_for_tasks_does_what_the_suite_asks(scenario, findings):
    assert findings.failures(scenario) == []
    assert findings.passed(scenario) >= TASKS[scenario]


def test_what_is_not_required_fails_only_where_it_is_meant_to(findings):
    assert {scenario for scenario in findings.unscored if findings.failures(scenario)} <= BEYOND.keys()
