// Runs a battery through the official TypeScript SDK and prints what the client saw, as JSON.
//
// Not for judging: the runner compares transcripts. Usage: typescript.mjs URL BATTERY SDK, with SDK "v1" (the handshake
// era only), "v2-legacy" or "v2-auto"; extra request headers as JSON in $HEADERS.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [address, path, sdk] = process.argv.slice(2);
const battery = JSON.parse(readFileSync(path, 'utf8'));
const installed = createRequire(`${process.env.NODE_MODULES}/`);
const load = name => import(pathToFileURL(installed.resolve(name)));

const ARRIVAL_TIMEOUT_MS = 15_000;
const capabilities = { elicitation: {}, sampling: {}, roots: {} };
const info = { name: 'battery', version: '1' };
let events = [];
const wire = new Set();
const broken = [];
const background = Object.fromEntries(battery.background.map(method => [method, { arrived: [], waiting: [] }]));

function saw(method, params) {
  const inbox = background[method];
  if (!inbox) events.push({ method, params });
  else if (inbox.waiting.length) inbox.waiting.shift()(params);
  else inbox.arrived.push(params);
}

function arrival(method) {
  const { arrived, waiting } = background[method];
  if (arrived.length) return arrived.shift();
  return new Promise(resolve => {
    const late = setTimeout(() => resolve(broken.push(`${method} did not come`)), ARRIVAL_TIMEOUT_MS);
    waiting.push(params => resolve(params, clearTimeout(late)));
  });
}

async function recordingFetch(url, init) {
  const response = await fetch(url, init);
  const method = init.body ? (JSON.parse(init.body).method ?? 'answer') : '-';
  const version = new Headers(init.headers).get('mcp-protocol-version') ?? '-';
  const kept = ['content-type', 'cache-control'].map(name => response.headers.get(name) ?? '-');
  wire.add([init.method ?? 'GET', method, version, response.status, ...kept].join(' '));
  return response;
}

function answering(method) {
  return ({ params }) => {
    saw(method, params ?? {});
    return battery.answers[method];
  };
}

async function v1() {
  const { Client } = await load('@modelcontextprotocol/sdk/client/index.js');
  const { StreamableHTTPClientTransport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js');
  const types = await load('@modelcontextprotocol/sdk/types.js');
  const client = new Client(info, { capabilities });
  client.setRequestHandler(types.ElicitRequestSchema, answering('elicitation/create'));
  client.setRequestHandler(types.CreateMessageRequestSchema, answering('sampling/createMessage'));
  client.setRequestHandler(types.ListRootsRequestSchema, answering('roots/list'));
  const callTool = (params, options) => client.callTool(params, undefined, options);
  const protocol = transport => transport.protocolVersion ?? transport._protocolVersion;
  return { client, callTool, StreamableHTTPClientTransport, protocol };
}

async function v2(mode) {
  const { Client, StreamableHTTPClientTransport } = await load('@modelcontextprotocol/client');
  const client = new Client(info, { capabilities, versionNegotiation: { mode } });
  for (const method of Object.keys(battery.answers)) client.setRequestHandler(method, answering(method));
  const callTool = (params, options) => client.callTool(params, options);
  return { client, callTool, StreamableHTTPClientTransport, protocol: () => client.getNegotiatedProtocolVersion() };
}

const { client, callTool, StreamableHTTPClientTransport, protocol } = await (sdk === 'v1' ? v1() : v2(sdk.slice(3)));
client.fallbackNotificationHandler = async ({ method, params }) => saw(method, params ?? {});
const onprogress = progress => saw('notifications/progress', progress);

const calls = {
  ping: () => client.ping(),
  'logging/setLevel': ({ level }) => client.setLoggingLevel(level),
  'tools/list': () => client.listTools(),
  'tools/call': params => callTool(params, { onprogress }),
  'resources/list': () => client.listResources(),
  'resources/templates/list': () => client.listResourceTemplates(),
  'resources/read': params => client.readResource(params),
  'resources/subscribe': params => client.subscribeResource(params),
  'resources/unsubscribe': params => client.unsubscribeResource(params),
  'prompts/list': () => client.listPrompts(),
  'prompts/get': params => client.getPrompt(params),
  'completion/complete': params => client.complete(params),
  await: method => arrival(method),
  // A call that runs as a task (2025-11-25), to its end. What the task is called differs from run to run; here it has one name.
  async task({ name, arguments: given }) {
    const { tasks } = client.experimental;
    const kinds = new Set();
    let id, result;
    for await (const message of tasks.callToolStream({ name, arguments: given }, undefined, { task: { ttl: 60_000 } })) {
      if (message.type === 'error') throw message.error;
      kinds.add(message.type);
      id ??= message.task?.taskId;
      result ??= message.result;
    }
    const { status } = await tasks.getTask(id);
    const listed = (await tasks.listTasks()).tasks.some(({ taskId }) => taskId === id);
    const named = seen => JSON.parse(JSON.stringify(seen).replaceAll(id, '<task>'));
    // How often its state is told depends on when one asks.
    const isState = ({ method }) => method === 'notifications/tasks/status';
    const told = new Set(events.filter(isState).map(({ params }) => `${params.status} ${named(params.taskId)}`));
    events = named(events.filter(event => !isState(event)));
    return named({ kinds: [...kinds].sort(), status, listed, told: [...told].sort(), result });
  },
  // Subscribe, have the server change something, and wait until the change is told.
  async listen({ uri, touch }) {
    const subscription = await client.listen({ resourceSubscriptions: [uri] });
    await callTool({ name: touch, arguments: {} });
    const event = await arrival('notifications/resources/updated');
    await subscription.close();
    return { event };
  },
};

async function step([method, params]) {
  events = [];
  let outcome;
  try {
    outcome = { result: await calls[method](params) };
  } catch ({ name, code, message, data }) {
    outcome = { error: { name, code, message, data } };
  }
  return { step: [method, params], events, ...outcome };
}

// HTTP+SSE of 2024-11-05, if that is what is at the address.
const { SSEClientTransport } = await load('@modelcontextprotocol/sdk/client/sse.js');
const Transport = address.endsWith('/sse') ? SSEClientTransport : StreamableHTTPClientTransport;
const transport = new Transport(new URL(address), {
  fetch: recordingFetch,
  requestInit: { headers: JSON.parse(process.env.HEADERS ?? '{}') },
});
let server, steps = [];
try {
  await client.connect(transport);
  server = {
    protocol: protocol(transport),
    info: client.getServerVersion(),
    capabilities: client.getServerCapabilities(),
    instructions: client.getInstructions(),
  };
  for (const each of battery.steps) steps.push(await step(each));
  await transport.terminateSession?.();
} catch ({ name, message }) {
  // A refused connection is an outcome to compare, too.
  server = { refused: `${name}: ${message}` };
}
await client.close();
// Sockets kept for reuse would hold the process for seconds.
process.stdout.write(JSON.stringify({ server, steps, wire: [...wire].sort(), broken }), () => process.exit());
