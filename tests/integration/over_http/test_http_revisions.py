"""Clients of every revision run a program over HTTP."""

import httpx2
import pytest
from http_server import ACCEPT, LEGACY, MODERN, WAIT, answer, call, open_session, rpc
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("nothing_left")]

PRINT = call("run_code", language="python", code="print(6 * 7)")


@pytest.mark.parametrize("revision", LEGACY)
def test_a_client_of_a_legacy_revision_runs_a_program(keyed_server, keys, client, revision):
    session = open_session(keyed_server, client, key=keys["alice"], revision=revision)
    result = answer(session.post(client, rpc("tools/call", PRINT)))["result"]
    assert "42" in result["content"][0]["text"]
    assert client.delete(keyed_server.url, headers=session.headers).status_code == 200
    assert session.post(client, rpc("tools/call", PRINT)).status_code == 404


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["auto", "legacy", MODERN])
async def test_the_sdks_own_client_runs_a_program_and_hears_of_its_progress(keyed_server, keys, mode):
    heard = []

    async def hear(progress, total, message):
        heard.append(message)

    fields = {**ACCEPT, "Authorization": f"Bearer {keys['bob']}"}
    async with httpx2.AsyncClient(headers=fields, timeout=WAIT, trust_env=False) as http_client:
        transport = streamable_http_client(keyed_server.url, http_client=http_client)
        async with Client(transport, mode=mode) as connected:
            result = await connected.call_tool(PRINT["name"], PRINT["arguments"], progress_callback=hear)
    assert result.structured_content["stdout"] == "42\n"
    assert heard
