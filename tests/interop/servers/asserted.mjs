// A server without an SDK that answers only what the gate has signed, and says who that was.
// Usage: asserted.mjs PORT JWKS_URL ISSUER AUDIENCE, with `verify.mjs` beside it.

import { createServer } from "node:http";
import { verifier } from "./verify.mjs";

const [port, jwks, issuer, audience] = process.argv.slice(2);
const assertions = verifier({ jwks, issuer, audience });

const server = createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  try {
    const caller = await assertions(request.headers["x-tollgate-assertion"], body);
    const content = [{ type: "text", text: `${caller.sub} ['${caller.roles}']` }];
    const answer = { jsonrpc: "2.0", id: JSON.parse(body).id, result: { content, isError: false } };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  } catch {
    response.writeHead(401).end();
  }
});
server.listen(Number(port), "127.0.0.1");
