// The client of the TypeScript SDK, version 1: package `@modelcontextprotocol/sdk`, which knows revisions up to 2025-11-25.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

import { follow, plan } from "./plan.mjs";

const client = new Client({ name: "case", version: "1" });
const transport = plan.url
  ? new StreamableHTTPClientTransport(new URL(plan.url), {
      requestInit: { headers: { authorization: `Bearer ${plan.key}` } },
    })
  : new StdioClientTransport({
      command: plan.command[0],
      args: plan.command.slice(1),
      cwd: plan.cwd,
      env: plan.env,
    });
await client.connect(transport);
await follow(client, (name, args, onprogress) =>
  client.callTool({ name, arguments: args }, undefined, { onprogress }),
);
if (plan.url) await transport.terminateSession();
await client.close();
