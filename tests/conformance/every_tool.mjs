// The TypeScript SDK's client: lists the tools, makes the calls of a plan on stdin, prints what came back.

import { text } from 'node:stream/consumers';

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const plan = JSON.parse(await text(process.stdin));
const transport = plan.url
  ? new StreamableHTTPClientTransport(new URL(plan.url), { authProvider: { token: async () => plan.key } })
  : new StdioClientTransport(plan.server);
const mode = plan.era === 'legacy' ? 'legacy' : { pin: plan.era };
const client = new Client({ name: 'every-tool', version: '1.0.0' }, { versionNegotiation: { mode } });

await client.connect(transport);
const { tools } = await client.listTools(); // with it the client checks each answer against its schema
const results = [];
const known = {};
for (const { name, arguments: given } of plan.calls) {
  const progress = [];
  const values = Object.entries(given).map(([key, value]) => [key, known[value] ?? value]);
  const result = await client.callTool(
    { name, arguments: Object.fromEntries(values) },
    { onprogress: (said) => progress.push(said) },
  );
  for (const [handle, name] of Object.entries(plan.handles)) {
    known[handle] = result.structuredContent?.[name] ?? known[handle];
  }
  results.push({ result, progress });
}
const revision = client.getNegotiatedProtocolVersion();
await client.close();
console.log(JSON.stringify({ revision, tools, results }));
