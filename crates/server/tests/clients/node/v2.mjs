// The client of the TypeScript SDK, version 2: package `@modelcontextprotocol/client`. With `tasks` in the plan it lists the
// tasks extension, as the Inspector does.

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import { LEGACY, follow, plan } from "./plan.mjs";

const mode = plan.auto ? "auto" : plan.revision === LEGACY ? "legacy" : { pin: plan.revision };
const capabilities = plan.tasks ? { extensions: { "io.modelcontextprotocol/tasks": {} } } : {};
const client = new Client({ name: "case", version: "1" }, { capabilities, versionNegotiation: { mode } });
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
  client.callTool({ name, arguments: args }, { onprogress }),
);
await client.close();
