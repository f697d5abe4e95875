// The small server on the TypeScript SDK v2: without sessions, in both eras or in the stateless one only.
//
// The same few things as the other small servers, so that one battery fits them all. Usage:
// small_typescript_v2.mjs PORT LEGACY, with the folder of packages in $NODE_MODULES; LEGACY as the SDK names it:
// "stateless" serves clients of the handshake era, "reject" does not.

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [port, legacy] = process.argv.slice(2);
const installed = createRequire(`${process.env.NODE_MODULES}/`);
const load = name => import(pathToFileURL(installed.resolve(name)));
const { createMcpHandler, inputRequired, McpServer } = await load('@modelcontextprotocol/server');
const { toNodeHandler } = await load('@modelcontextprotocol/node');
const { z } = await load('zod');

const text = said => ({ content: [{ type: 'text', text: said }] });

async function countUp({ to }, { mcpReq }) {
  const { progressToken } = mcpReq._meta ?? {};
  for (let n = 1; n <= to; n++) {
    const params = { progressToken, progress: n, total: to, message: `at ${n}` };
    if (progressToken !== undefined) await mcpReq.notify({ method: 'notifications/progress', params });
    await mcpReq.log('info', `counted ${n}`);
  }
  return text(`counted to ${to}`);
}

async function ask(_, { mcpReq }) {
  const name = mcpReq.inputResponses?.name;
  if (name) return text(`${mcpReq.requestState()}: ${JSON.stringify(name)}`);
  const requestedSchema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
  const question = inputRequired.elicit({ message: 'Who are you?', requestedSchema });
  return inputRequired({ inputRequests: { name: question }, requestState: 'round two' });
}

async function addUp({ a, b }) {
  return { ...text(String(a + b)), structuredContent: { result: a + b } };
}

function smallServer() {
  const server = new McpServer({ name: 'small', version: '1.0.0' }, { capabilities: { logging: {} } });
  const tool = (name, fields, call, outputSchema) =>
    server.registerTool(name, { inputSchema: z.object(fields), outputSchema }, call);
  tool('echo', { text: z.string() }, async ({ text: said }) => text(said));
  tool('add', { a: z.number(), b: z.number().min(0) }, addUp, z.object({ result: z.number() }));
  tool('count_up', { to: z.number() }, countUp);
  tool('fail', { message: z.string() }, async ({ message }) => { throw new Error(message); });
  tool('ask', {}, ask);
  tool('repeat', { text: z.string(), times: z.number() }, async ({ text: said, times }) => text(said.repeat(times)));
  tool('version', {}, async (_, { http }) => text(http.req.headers.get('mcp-protocol-version') ?? 'none'));
  server.registerResource('note', 'small://note', {}, async uri => ({
    contents: [{ uri: uri.href, text: 'Nothing of note.' }],
  }));
  server.registerPrompt('review', { argsSchema: z.object({ record: z.string() }) }, ({ record }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Review ${record}.` } }],
  }));
  return server;
}

const handle = toNodeHandler(createMcpHandler(smallServer, { legacy }));
createServer((request, response) => {
  if (request.url === '/mcp') return handle(request, response);
  return response.writeHead(404).end();
}).listen(Number(port), '127.0.0.1');
