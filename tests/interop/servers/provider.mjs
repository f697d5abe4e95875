// An OpenID provider: the certified `oidc-provider`, with the accounts and pages that it has for development.
//
// Clients register themselves, and need PKCE and a resource: tokens are JWTs (RFC 9068) for the one they name. For the resource
// `urn:opaque` they are opaque; the client `agent` gets one for itself, and the client `gate` may ask about it (RFC 7662).
// Usage: provider.mjs PORT RESOURCE, with the URL of the gate as the resource.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const SCOPES = ['records:read', 'records:write'];

const [port, resource] = process.argv.slice(2);
const installed = createRequire(`${process.env.NODE_MODULES}/`);
const { Provider, errors } = await import(pathToFileURL(installed.resolve('oidc-provider')));

function resourceServer(_, asked) {
  const format = { [resource]: 'jwt', 'urn:opaque': 'opaque', 'urn:other': 'opaque' }[asked];
  if (!format) throw new errors.InvalidTarget();
  return { scope: SCOPES.join(' '), audience: asked, accessTokenFormat: format };
}

const provider = new Provider(`http://127.0.0.1:${port}`, {
  features: {
    registration: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_context, client) => client.clientId === 'gate' },
    revocation: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer, useGrantedResource: () => true },
  },
  clients: ['agent', 'gate'].map((id) => ({
    client_id: id,
    client_secret: `${id}: its secret, with + and %`,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  })),
  scopes: ['offline_access', ...SCOPES],
  // Clients register for the scopes that they ask for first. Here they may ask for others later.
  extraClientMetadata: {
    properties: ['scope'],
    validator: (_context, _key, _value, client) => void (client.scope = ['offline_access', ...SCOPES].join(' ')),
  },
  pkce: { required: () => true },
});
provider.listen(Number(port), '127.0.0.1');
