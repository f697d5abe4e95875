// Runs those steps of a battery that the Inspector's command line has, and prints what it printed, as JSON.
//
// Not for judging: the runner compares transcripts. Usage: inspector.mjs URL BATTERY ERA, with ERA as the Inspector
// names it ("legacy", "auto", "modern"); extra request headers as JSON in $HEADERS. Runs on the Node that it needs.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [address, path, era] = process.argv.slice(2);
const program = `${process.env.NODE_MODULES}/@modelcontextprotocol/inspector/clients/launcher/build/index.js`;
const headers = Object.entries(JSON.parse(process.env.HEADERS ?? '{}'))
  .flatMap(([name, value]) => ['--header', `${name}: ${value}`]);
const home = mkdtempSync(join(tmpdir(), 'inspector-'));

const chosen = {
  'tools/list': () => [],
  'tools/call': ({ name, arguments: given }) => ['--tool-name', name, '--tool-args-json', JSON.stringify(given)],
  'resources/read': ({ uri }) => ['--uri', uri],
  'prompts/list': () => [],
};

// Each command is a process and a connection of its own, so these few have to do.
const few = ({ name }) => !name || ['version', 'search_records', 'fail'].includes(name);

function inspect(method, params) {
  const command = [program, '--cli', address, ...headers, '--format', 'json', '-q', '--protocol-era', era];
  command.push('--method', method, ...chosen[method](params));
  const done = spawnSync(process.execPath, command, { env: { ...process.env, HOME: home }, encoding: 'utf8' });
  return { step: [method, params], status: done.status, stdout: done.stdout, stderr: done.stderr };
}

const { steps } = JSON.parse(readFileSync(path, 'utf8'));
const seen = new Set();
const taken = [];
for (const [method, params = {}] of steps) {
  const once = `${method} ${params.name}`;
  if (!chosen[method] || !few(params) || seen.has(once)) continue;
  seen.add(once);
  taken.push(inspect(method, params));
}
rmSync(home, { recursive: true });
// It does not say which version it speaks, so the server's tool for that has to.
const told = taken.find(({ step: [, params] }) => params.name === 'version');
const protocol = told?.stdout ? JSON.parse(told.stdout).result.content[0].text : null;
process.stdout.write(JSON.stringify({ server: { protocol }, steps: taken }));
