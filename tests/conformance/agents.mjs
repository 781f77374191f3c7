// Ten agents on the official TypeScript SDK: `node agents.mjs MODULES TARGET MODE`, see agents.py.
//
// MODULES is a file in the directory whose node_modules has both lines of the SDK.

import { createRequire } from "node:module";

const [modules, target, mode] = process.argv.slice(2);
const require = createRequire(modules);
const AGENTS = 10;
const ASKING = {
  legacy: [
    { name: "test_sampling", arguments: { prompt: "who?" } },
    { name: "test_elicitation", arguments: { message: "who?" } },
  ],
  modern: [
    { name: "test_input_required_result_sampling", arguments: {} },
    { name: "test_input_required_result_elicitation", arguments: {} },
  ],
};

const counts = Array(AGENTS).fill(0);
const asked = [];
const wrong = [];
let done = false;

const pause = () => new Promise((resolve) => setTimeout(resolve, 10));
const textOf = (answer) => answer.content[0].text;

/** Wait until the others have had two more answers. */
async function beAsked(number) {
  asked.push(number);
  const wanted = counts.map((count) => count + 2);
  while (counts.some((count, other) => other !== number && count < wanted[other])) await pause();
}

async function sample(number) {
  await beAsked(number);
  return { role: "assistant", content: { type: "text", text: `agent ${number}` }, model: "none" };
}

async function elicit(number, request) {
  await beAsked(number);
  const names = Object.keys(request.params.requestedSchema.properties);
  const content = Object.fromEntries(names.map((name) => [name, `agent ${number}`]));
  return { action: "accept", content };
}

/** Return the transport that TARGET means, of the modules that have the SDK's classes. */
function transport(http, stdio) {
  if (target.startsWith("http://")) return new http.StreamableHTTPClientTransport(new URL(target));
  const [command, ...args] = target.split(" ");
  return new stdio.StdioClientTransport({ command, args, env: process.env });
}

async function connect(number) {
  const capabilities = { sampling: {}, elicitation: {} };
  const info = { name: "agents", version: "1" };
  if (mode === "1.x") {
    const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
    const http = require("@modelcontextprotocol/sdk/client/streamableHttp.js");
    const types = require("@modelcontextprotocol/sdk/types.js");
    const client = new Client(info, { capabilities });
    client.setRequestHandler(types.CreateMessageRequestSchema, () => sample(number));
    client.setRequestHandler(types.ElicitRequestSchema, (request) => elicit(number, request));
    await client.connect(transport(http, require("@modelcontextprotocol/sdk/client/stdio.js")));
    return client;
  }
  const sdk = require("@modelcontextprotocol/client");
  const client = new sdk.Client(info, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler("sampling/createMessage", () => sample(number));
  client.setRequestHandler("elicitation/create", (request) => elicit(number, request));
  await client.connect(transport(sdk, require("@modelcontextprotocol/client/stdio")));
  return client;
}

/** Call until the first is done, and see that each answer is ours. */
async function call(number, client) {
  while (!done) {
    const mark = `${number}-${counts[number]}`;
    const request = { name: "test_x_mcp_header", arguments: { region: mark } };
    const said = textOf(await client.callTool(request));
    if (said !== `region=${mark}`) wrong.push(`${mark}: ${said}`);
    counts[number] += 1;
  }
}

const clients = [];
for (let number = 0; number < AGENTS; number += 1) clients.push(await connect(number));
const others = clients.slice(1).map((client, index) => call(index + 1, client));
const said = [];
for (const request of ASKING[mode === "auto" ? "modern" : "legacy"]) {
  said.push(textOf(await clients[0].callTool(request)));
}
done = true;
await Promise.all(others);
await Promise.all(clients.map((client) => client.close()));
console.log(JSON.stringify({ said, asked, wrong }));
