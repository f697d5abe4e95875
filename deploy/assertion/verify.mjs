// Who calls an MCP server, as the gate says it and signs it. Needs `npm install jose` and nothing else.
//
// Copy it beside the server:
//
//     const assertions = verifier({ jwks: "http://127.0.0.1:9901/.well-known/jwks.json", issuer, audience });
//     app.post("/mcp", express.raw({ type: "*/*" }), async (request, response) => {
//       const caller = await assertions(request.headers["x-tollgate-assertion"], request.body); // throws if it is not so
//
// The body must be verified as it came, before anything parses it.

import { createHash, timingSafeEqual } from "node:crypto";
import { createRemoteJWKSet, jwtVerify } from "jose";

/** A function from an assertion and a body to the claims about who sent exactly that body. */
export function verifier({ jwks, issuer, audience, keys = createRemoteJWKSet(new URL(jwks)) }) {
  return async (token, body) => {
    const { payload } = await jwtVerify(token ?? "", keys, {
      issuer,
      audience,
      typ: "tollgate-assertion+jwt",
      algorithms: ["ES256", "EdDSA"],
      clockTolerance: 5,
      requiredClaims: ["sub", "iat", "exp", "jti", "roles", "body_sha256"],
    });
    const digest = createHash("sha256").update(body ?? "").digest();
    const said = Buffer.from(payload.body_sha256, "base64url");
    if (digest.length !== said.length || !timingSafeEqual(digest, said)) {
      throw new Error("an assertion about another body");
    }
    return payload;
  };
}
