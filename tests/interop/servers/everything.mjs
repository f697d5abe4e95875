// The reference server of the MCP project, as published, but listening on this machine only.
//
// Usage: everything.mjs PORT, with the folder of packages in $NODE_MODULES.

import net from 'node:net';

const { listen } = net.Server.prototype;
net.Server.prototype.listen = function (port, ...rest) {
  return listen.call(this, port, '127.0.0.1', ...rest);
};
process.env.PORT = process.argv[2];
await import(`${process.env.NODE_MODULES}/@modelcontextprotocol/server-everything/dist/transports/streamableHttp.js`);
