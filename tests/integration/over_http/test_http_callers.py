"""Who may call: keys, the principals that they stand for, and what one principal cannot do to another."""

import re

import pytest
from http_server import MODERN, answer, call, headers, modern, open_session, rpc, served

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("nothing_left")]

PRINT = call("run_code", language="python", code="print(6 * 7)")
LIST = "tools/list"


def wrong_ways(alice: str) -> dict[str, dict[str, str]]:
    """Headers that prove nothing."""
    return {
        "no header": {},
        "another key": {"Authorization": "Bearer sbx_" + "x" * 43},
        "a part of the key": {"Authorization": f"Bearer {alice[:-1]}"},
        "more than the key": {"Authorization": f"Bearer {alice}x"},
        "nothing": {"Authorization": "Bearer"},
        "another scheme": {"Authorization": f"Basic {alice}"},
        "no scheme": {"Authorization": alice},
        "a name": {"Authorization": "Bearer alice"},
        "very long": {"Authorization": "Bearer " + "x" * 10_000},
        "a header of its own": {"X-Api-Key": alice},
        "a cookie": {"Cookie": f"key={alice}; Authorization=Bearer {alice}"},
    }


def test_a_request_without_a_right_key_is_answered_in_one_way_whatever_is_wrong(keyed_server, keys, client):
    plain = modern(LIST)
    answers = set()
    for name, fields in wrong_ways(keys["alice"]).items():
        refused = client.post(keyed_server.url, headers={**plain["headers"], **fields}, json=plain["json"])
        assert refused.status_code == 401, name
        assert refused.headers["www-authenticate"] == "Bearer"
        answers.add((refused.text, tuple(sorted(set(refused.headers) - {"date"}))))
    assert len(answers) == 1
    ((text, _),) = answers
    assert text.startswith('{"jsonrpc":"2.0","id":null,"error":')


@pytest.mark.parametrize("name", ["access_token", "key", "token", "authorization"])
def test_a_key_in_the_address_counts_for_nothing(keyed_server, keys, client, name):
    request = modern(LIST)
    assert client.post(keyed_server.url, params={name: keys["alice"]}, **request).status_code == 401


def test_two_authorization_headers_are_none(keyed_server, keys, client):
    request = modern(LIST)
    twice = [*request["headers"].items(), *[("Authorization", f"Bearer {keys[n]}") for n in ("alice", "bob")]]
    assert client.post(keyed_server.url, headers=twice, json=request["json"]).status_code == 401


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS", "HEAD"])
def test_every_method_asks_for_a_key(keyed_server, client, method):
    assert client.request(method, keyed_server.url, headers=headers()).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_right_key_is_accepted(keyed_server, keys, client, scheme):
    request = modern(LIST)
    request["headers"]["Authorization"] = f"{scheme} {keys['bob']}"
    answered = client.post(keyed_server.url, **request)
    assert answered.status_code == 200
    assert "run_code" in answered.text


def test_a_run_belongs_to_the_principal_of_the_key(keyed_server, keys, client, live_runs):
    wait = call("run_code", language="python", code="import time; time.sleep(60)", background=True)
    for name in ("alice", "bob"):
        started = answer(client.post(keyed_server.url, **modern("tools/call", wait, key=keys[name])))
        run_id = started["result"]["structuredContent"]["run_id"]
        while name not in {run.principal for run in live_runs(keyed_server)}:
            pass
        ended = modern("tools/call", call("cancel_run", run_id=run_id), key=keys[name])
        assert not answer(client.post(keyed_server.url, **ended))["result"]["isError"]
    while live_runs(keyed_server):
        pass


def test_another_principals_handle_is_answered_like_one_that_never_was(keyed_server, keys, client):
    ran = answer(client.post(keyed_server.url, **modern("tools/call", PRINT, key=keys["alice"])))
    handle = ran["result"]["structuredContent"]["run_id"]
    unknown = "0" * len(handle)

    def read(tool: str, run_id: str, key: str) -> str:
        request = modern("tools/call", call(tool, run_id=run_id), key=keys[key])
        return client.post(keyed_server.url, **request).text.replace(run_id, "HANDLE")

    for tool in ("read_output", "cancel_run"):
        assert read(tool, handle, "bob") == read(tool, unknown, "bob")
        assert read(tool, handle, "alice") != read(tool, unknown, "alice")
    listed = client.post(keyed_server.url, **modern("tools/call", call("list_runs"), key=keys["bob"]))
    assert handle not in listed.text


def test_another_principals_sandbox_session_is_answered_like_one_that_never_was(keyed_server, keys, client):
    def tried(tool: str, key: str, **arguments: str) -> str:
        request = modern("tools/call", call(tool, **arguments), key=keys[key])
        return client.post(keyed_server.url, **request, timeout=100).text

    opened = tried("open_session", "alice", language="bash")
    [handle] = re.findall(r'"session": ?"([\w-]+)"', opened)
    unknown = "x" * len(handle)
    tools = {
        "run_code": {"language": "bash", "code": "true"},
        "run_shell": {"command": "true"},
        "write_file": {"path": "f", "content": "x"},
        "read_file": {"path": "f"},
        "list_files": {},
        "delete_file": {"path": "f"},
        "snapshot_session": {},
        "close_session": {},
    }
    for tool, arguments in tools.items():
        foreign, never = (tried(tool, "bob", session=each, **arguments) for each in (handle, unknown))
        assert foreign.replace(handle, "HANDLE") == never.replace(unknown, "HANDLE")
        assert "There is no session" in foreign
    assert handle not in tried("list_sessions", "bob")
    snapshot = re.findall(r'"snapshot": ?"([\w-]+)"', tried("snapshot_session", "alice", session=handle))[0]
    refused = tried("open_session", "bob", language="bash", snapshot=snapshot)
    assert "There is no snapshot" in refused
    assert "open" in tried("list_sessions", "alice")
    tried("close_session", "alice", session=handle)


def test_another_principals_task_is_answered_like_one_that_never_was(keyed_server, keys, client, live_runs):
    tasks = ("io.modelcontextprotocol/tasks",)
    sleep = call("run_shell", command="sleep 300", timeout_s=300)
    begun = client.post(
        keyed_server.url, **modern("tools/call", sleep, key=keys["alice"], extensions=tasks), timeout=100
    )
    handle = answer(begun)["result"]["taskId"]

    def tried(method: str, task: str, key: str) -> str:
        request = modern(method, {"taskId": task}, key=keys[key], extensions=tasks)
        return client.post(keyed_server.url, **request).text.replace(task, "HANDLE")

    for method in ("tasks/get", "tasks/cancel"):
        assert tried(method, handle, "bob") == tried(method, "0" * len(handle), "bob")
    assert '"error"' not in tried("tasks/get", handle, "alice")
    assert [run.principal for run in live_runs(keyed_server)] == ["alice"]
    tried("tasks/cancel", handle, "alice")
    while live_runs(keyed_server):
        pass


def test_another_principals_session_is_answered_like_one_that_never_was(keyed_server, keys, client):
    session = open_session(keyed_server, client, key=keys["alice"])

    def tried(session_id: str, method: str, key: str) -> tuple[int, str, list[str]]:
        fields = {**session.headers, **headers(keys[key]), "Mcp-Session-Id": session_id}
        body = {"json": rpc(LIST)} if method == "POST" else {}
        answered = client.request(method, keyed_server.url, headers=fields, **body)
        return answered.status_code, answered.text, sorted(answered.headers)

    for method in ("POST", "GET", "DELETE"):
        foreign = tried(session.headers["Mcp-Session-Id"], method, "bob")
        assert foreign == tried("0" * 32, method, "bob")
        assert foreign[0] == 404
    assert session.post(client, rpc(LIST)).status_code == 200
    assert tried(session.headers["Mcp-Session-Id"], "DELETE", "alice")[0] == 200


def test_a_session_without_its_key_is_nobodys(keyed_server, keys, client):
    session = open_session(keyed_server, client, key=keys["alice"])
    assert (
        client.post(
            keyed_server.url, headers={**session.headers, "Authorization": ""}, json=rpc(LIST)
        ).status_code
        == 401
    )


def test_another_principal_cannot_cancel_a_call_of_a_session(keyed_server, keys, client):
    """Neither by its session nor by its request id in a request of a modern client."""
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    session = open_session(keyed_server, client, key=keys["alice"])
    foreign = {**session.headers, **headers(keys["bob"])}
    assert client.post(keyed_server.url, headers=foreign, json=cancelled).status_code == 404
    request = headers(
        keys["bob"], **{"MCP-Protocol-Version": MODERN, "Mcp-Method": "notifications/cancelled"}
    )
    assert client.post(keyed_server.url, headers=request, json=cancelled).status_code == 202
    assert (
        answer(session.post(client, rpc("tools/call", PRINT)))["result"]["structuredContent"]["exit_code"]
        == 0
    )


def test_on_loopback_without_a_key_the_caller_is_the_local_user(open_server, client, live_runs):
    wait = call("run_code", language="python", code="import time; time.sleep(60)", background=True)
    started = answer(client.post(open_server.url, **modern("tools/call", wait)))["result"][
        "structuredContent"
    ]
    while not live_runs(open_server):
        pass
    assert [run.principal for run in live_runs(open_server)] == ["local"]
    client.post(open_server.url, **modern("tools/call", call("cancel_run", run_id=started["run_id"])))
    while live_runs(open_server):
        pass


def test_keys_are_never_logged(home, keys, client):
    with served("--set", f"keys_file={keys['file']}", home=home) as server:
        request = modern(LIST, key=keys["alice"])
        assert client.post(server.url, **request, params={"key": keys["bob"]}).status_code == 200
        wrong = "sbx_" + "w" * 43
        assert client.post(server.url, **modern(LIST, key=wrong)).status_code == 401
        assert client.post(server.url, **modern("no/such", key=keys["alice"])).status_code == 404
        assert server.stop() == 0
        log = "".join(server.log)
    assert all(secret not in log for secret in (keys["alice"], keys["bob"], wrong))


def test_hashes_in_the_environment_are_keys_too(home, keys, client):
    stored = ",".join(keys["file"].read_text().split())
    with served(home=home, SANDBOX_RUNNER_KEYS=stored) as server:
        assert client.post(server.url, **modern(LIST)).status_code == 401
        assert client.post(server.url, **modern(LIST, key=keys["bob"])).status_code == 200
