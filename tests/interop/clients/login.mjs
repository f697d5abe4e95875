// The official TypeScript SDK logs in by what the gate tells it, calls a tool, steps up, and calls another one.
//
// Not for judging: prints what it saw, as JSON. Usage: login.mjs URL SDK, with SDK "v1", "v2-legacy" or "v2-auto".

import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [address, sdk] = process.argv.slice(2);
const installed = createRequire(`${process.env.NODE_MODULES}/`);
const load = name => import(pathToFileURL(installed.resolve(name)));
const browser = fileURLToPath(new URL('browser.mjs', import.meta.url));

const info = { name: 'login', version: '1' };
const seen = { asked: [], challenges: [], scopes: [] };

/** What an application keeps for the SDK; whoever is to agree does so at once. */
class Person {
  redirectUrl = 'http://localhost:9/callback';
  clientMetadata = { client_name: 'login', redirect_uris: [this.redirectUrl], token_endpoint_auth_method: 'none' };
  clientInformation = () => this.client;
  saveClientInformation = client => void (this.client = client);
  tokens = () => this.kept;
  saveTokens = tokens => {
    this.kept = tokens;
    seen.scopes.push(tokens.scope);
  };
  discoveryState = () => this.discovered;
  saveDiscoveryState = state => void (this.discovered = state);
  saveCodeVerifier = verifier => void (this.verifier = verifier);
  codeVerifier = () => this.verifier;
  redirectToAuthorization = url => {
    seen.asked.push(url.searchParams.get('scope'));
    this.back = new URL(execFileSync(process.execPath, [browser, url.href], { encoding: 'utf8' })).searchParams;
  };
}

async function recordingFetch(url, init) {
  const response = await fetch(url, init);
  const challenge = response.headers.get('www-authenticate');
  if (challenge) seen.challenges.push(`${response.status} ${challenge}`);
  return response;
}

async function v1() {
  const { Client } = await load('@modelcontextprotocol/sdk/client/index.js');
  const { StreamableHTTPClientTransport } = await load('@modelcontextprotocol/sdk/client/streamableHttp.js');
  const { UnauthorizedError } = await load('@modelcontextprotocol/sdk/client/auth.js');
  const finish = (transport, back) => transport.finishAuth(back.get('code'));
  return { client: () => new Client(info), StreamableHTTPClientTransport, UnauthorizedError, finish };
}

async function v2(mode) {
  const { Client, StreamableHTTPClientTransport, UnauthorizedError } = await load('@modelcontextprotocol/client');
  const client = () => new Client(info, { versionNegotiation: { mode } });
  const finish = (transport, back) => transport.finishAuth(back);
  return { client, StreamableHTTPClientTransport, UnauthorizedError, finish };
}

const { client, StreamableHTTPClientTransport, UnauthorizedError, finish } = await (sdk === 'v1'
  ? v1()
  : v2(sdk.slice(3)));
const person = new Person();
const transport = () => new StreamableHTTPClientTransport(new URL(address), { authProvider: person, fetch: recordingFetch });

/** Tries; and again, once somebody has agreed to what it takes. */
async function agreed(attempt, over) {
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await finish(over(), person.back);
    return attempt();
  }
}

let current, wire;
await agreed(
  async () => {
    current = client();
    wire = transport();
    await current.connect(wire);
  },
  () => wire,
);
const tools = async () => (await current.listTools()).tools.map(tool => tool.name).sort();
const call = (name, args) => agreed(() => current.callTool({ name, arguments: args }), () => wire);
seen.listed = await tools();
seen.first = (await call('echo', { text: 'hello' })).content;
seen.second = (await call('add', { a: 1, b: 2 })).content;
seen.then = await tools();
await current.close();
process.stdout.write(JSON.stringify(seen), () => process.exit());
