// The small server on the TypeScript SDK v1: the handshake era only, in sessions.
//
// The same few things as the other small servers, so that one battery fits them all. Usage:
// small_typescript_v1.mjs PORT, with the folder of packages in $NODE_MODULES.

import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const installed = createRequire(`${process.env.NODE_MODULES}/`);
const load = name => import(pathToFileURL(installed.resolve(name)));
const { McpServer } = await load('@modelcontextprotocol/sdk/server/mcp.js');
const { StreamableHTTPServerTransport } = await load('@modelcontextprotocol/sdk/server/streamableHttp.js');
const { createMcpExpressApp } = await load('@modelcontextprotocol/sdk/server/express.js');
const { z } = await load('zod');

const text = said => ({ content: [{ type: 'text', text: said }] });

async function countUp({ to }, extra) {
  const { progressToken } = extra._meta ?? {};
  for (let n = 1; n <= to; n++) {
    const params = { progressToken, progress: n, total: to, message: `at ${n}` };
    if (progressToken !== undefined) await extra.sendNotification({ method: 'notifications/progress', params });
    await extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data: `counted ${n}` } });
  }
  return text(`counted to ${to}`);
}

function smallServer() {
  const server = new McpServer({ name: 'small', version: '1.0.0' }, { capabilities: { logging: {} } });
  const tool = (name, inputSchema, call, outputSchema) =>
    server.registerTool(name, { inputSchema, outputSchema }, call);
  tool('echo', { text: z.string() }, async ({ text: said }) => text(said));
  tool('add', { a: z.number(), b: z.number().min(0) }, addUp, { result: z.number() });
  tool('count_up', { to: z.number() }, countUp);
  tool('fail', { message: z.string() }, async ({ message }) => { throw new Error(message); });
  tool('ask', {}, async (_, extra) => {
    const requestedSchema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
    const params = { message: 'Who are you?', requestedSchema };
    const options = { relatedRequestId: extra.requestId };
    const { action, content } = await server.server.elicitInput(params, options);
    return text(`${action}: ${JSON.stringify(content)}`);
  });
  tool('repeat', { text: z.string(), times: z.number() }, async ({ text: said, times }) => text(said.repeat(times)));
  tool('version', {}, async (_, extra) => text(extra.requestInfo.headers['mcp-protocol-version'] ?? 'none'));
  server.registerResource('note', 'small://note', {}, async uri => ({
    contents: [{ uri: uri.href, text: 'Nothing of note.' }],
  }));
  server.registerPrompt('review', { argsSchema: { record: z.string() } }, ({ record }) => ({
    messages: [{ role: 'user', content: { type: 'text', text: `Review ${record}.` } }],
  }));
  return server;
}

async function addUp({ a, b }) {
  return { ...text(String(a + b)), structuredContent: { result: a + b } };
}

const sessions = new Map();

async function opened() {
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: id => { sessions.set(id, transport); },
  });
  transport.onclose = () => sessions.delete(transport.sessionId);
  await smallServer().connect(transport);
  return transport;
}

const app = createMcpExpressApp();
app.all('/mcp', async (request, response) => {
  const id = request.headers['mcp-session-id'];
  const transport = id ? sessions.get(id) : await opened();
  if (transport) return transport.handleRequest(request, response, request.body);
  const error = { code: -32001, message: 'Session not found' };
  return response.status(404).json({ jsonrpc: '2.0', error, id: null });
});
app.listen(Number(process.argv[2]), '127.0.0.1');
