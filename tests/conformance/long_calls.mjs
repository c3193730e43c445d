// The client of the extension for tasks: makes the calls of a plan on stdin, follows what becomes a task.
// The SDK's own client refuses a task as an answer, so the extension's has the requests sent from here.

import { text } from 'node:stream/consumers';

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { createTaskSessionFromClient } from '@modelcontextprotocol/ext-tasks/client';

const plan = JSON.parse(await text(process.stdin));
const clientInfo = { name: 'long-calls', version: '1.0.0' };
const client = new Client(clientInfo, { versionNegotiation: { mode: { pin: plan.era } } });
const authProvider = { token: async () => plan.key };
await client.connect(new StreamableHTTPClientTransport(new URL(plan.url), { authProvider }));

let id = 0;
const rawDispatch = async (request, { signal } = {}) => {
  id += 1;
  const response = await fetch(plan.url, {
    method: 'POST',
    headers: {
      Accept: 'application/json, text/event-stream',
      Authorization: `Bearer ${plan.key}`,
      'Content-Type': 'application/json',
      'MCP-Protocol-Version': plan.era,
      'Mcp-Method': request.method,
      'Mcp-Name': request.params.name ?? request.params.taskId,
    },
    body: JSON.stringify({ jsonrpc: '2.0', id, ...request }),
    signal,
  });
  const { result, error } = await response.json();
  return error ? { kind: 'error', error } : { kind: 'result', result };
};
const v2RequestFraming = { protocolVersion: plan.era, clientInfo, clientCapabilities: {} };
const session = createTaskSessionFromClient(client, { endpointId: plan.url, rawDispatch, v2RequestFraming });

const answers = [];
for (const { name, arguments: given, cancel } of plan.calls) {
  const execution = await session.callTool(name, given);
  if (cancel) await execution.cancel();
  const { outcome } = await execution.settle();
  answers.push({ kind: execution.kind, status: outcome.status, result: outcome.result });
}
await session.close();
await client.close();
console.log(JSON.stringify(answers));
