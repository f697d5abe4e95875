// A token endpoint: the certified `oidc-provider`, with a client for each way to prove which client one is.
//
// It gives each of them JWTs (RFC 9068) for one resource, by the client credentials grant, and nothing else.
// Usage: token_endpoint.mjs PORT RESOURCE JWKS, with the keys (JSON) of the client that signs.

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [port, resource, jwks] = process.argv.slice(2);
const installed = createRequire(`${process.env.NODE_MODULES}/`);
const { Provider, errors } = await import(pathToFileURL(installed.resolve('oidc-provider')));

function resourceServer(_, asked) {
  if (asked !== resource) throw new errors.InvalidTarget();
  return { scope: 'records:read', audience: resource, accessTokenFormat: 'jwt' };
}

const client = (token_endpoint_auth_method, proof) => ({
  client_id: token_endpoint_auth_method,
  token_endpoint_auth_method,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  ...proof,
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  features: {
    clientCredentials: { enabled: true },
    resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
  },
  scopes: ['records:read'],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  clients: [
    client('client_secret_basic', { client_secret: 's3cret+/%:&=~' }),
    client('client_secret_post', { client_secret: 's3cret+/%:&=~' }),
    client('private_key_jwt', { jwks: JSON.parse(jwks), token_endpoint_auth_signing_alg: 'ES256' }),
  ],
});
provider.listen(Number(port), '127.0.0.1');
