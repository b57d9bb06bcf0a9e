// The official TypeScript SDKs as agents, over the real shim, against the real daemon: the 1.x package, which most
// agents use, at every version with `initialize`; and the 2.x client, which also speaks 2026-07-28.
//
// npm ci && MEMORIA_BIN=path/to/memoria node client.mjs      (memoriad stands beside it)
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as v2 from "@modelcontextprotocol/client";
import { StdioClientTransport as StdioV2 } from "@modelcontextprotocol/client/stdio";
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { ToolListChangedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import { StdioClientTransport as StdioV1 } from "@modelcontextprotocol/sdk/client/stdio.js";

const BIN = resolve(process.env.MEMORIA_BIN);
const TOOLS = [
  "memory_store", "memory_retrieve", "memory_list", "memory_correct", "memory_purge", "memory_feedback",
  "memory_snapshot", "memory_branch", "memory_checkout", "memory_diff", "memory_merge", "memory_rollback",
];
const UNICODE = "Ünïcödé 测试 👩‍👩‍👧 שלום e\u0301 \u{1f9ff} tab\tand\nnewline";
const HANDSHAKES = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

// A home of its own; its daemon is stopped in the end.
async function inHome(test) {
  const folder = mkdtempSync("/tmp/memoria-sdk-");
  const env = { ...process.env, MEMORIA_HOME: folder };
  const run = (...args) => execFileSync(BIN, args, { env, encoding: "utf8", timeout: 60_000 });
  const agents = [];
  const server = { command: BIN, args: ["mcp"], env, cwd: folder };
  const home = {
    server,
    agents,
    // Between a death and the next start there is none.
    async daemon() {
      for (let look = 0; look < 20; look++) {
        try {
          return JSON.parse(run("status", "--json")).pid;
        } catch {
          await sleep(100);
        }
      }
      throw new Error("no daemon came back within 2 s");
    },
    async v1(name = "ts-agent") {
      const agent = new ClientV1({ name, version: "1.0" });
      agents.push(agent);
      await agent.connect(new StdioV1(server));
      return agent;
    },
    // A version with `initialize` is offered by listing it first.
    async v2(version, name = "ts-agent") {
      const how = HANDSHAKES.includes(version)
        ? { supportedProtocolVersions: [version], versionNegotiation: { mode: "legacy" } }
        : { versionNegotiation: { mode: version === "auto" ? "auto" : { pin: version } } };
      const agent = new v2.Client({ name, version: "1.0" }, how);
      agents.push(agent);
      await agent.connect(new StdioV2(server));
      return agent;
    },
  };
  try {
    await test(home);
  } finally {
    for (const agent of agents) await agent.close().catch(() => {});
    try { run("stop"); } catch {}
    rmSync(folder, { recursive: true, force: true });
  }
}

const text = (result) => result.content[0].text;
const call = async (agent, name, args) => {
  const result = await agent.callTool({ name, arguments: args });
  assert.ok(!result.isError, text(result));
  return result;
};
const structured = async (agent, name, args) => (await call(agent, name, args)).structuredContent;

// All five tools. Both SDKs check structured content against the output schema once the tools are listed.
async function everyTool(agent, version) {
  const { tools } = await agent.listTools();
  assert.deepEqual(tools.map((tool) => tool.name), TOOLS);
  const hasSchemas = version >= "2025-06-18";
  for (const tool of tools) assert.equal(tool.outputSchema !== undefined, hasSchemas);
  const stored = await call(agent, "memory_store", { content: "The deploy script is tools/ship.sh", tags: ["deploy"] });
  const id = text(stored).split("memory ")[1].split(" ")[0];
  await call(agent, "memory_store", { content: UNICODE });
  const found = await call(agent, "memory_retrieve", { query: "How do we deploy?", explain: true });
  assert.ok(text(found).includes("tools/ship.sh") && text(found).includes(id), text(found));
  await call(agent, "memory_correct", { memory_id: id, new_content: "We deploy with just ship" });
  const listed = await call(agent, "memory_list", {});
  assert.ok(text(listed).includes("just ship") && text(listed).includes(UNICODE), text(listed));
  assert.equal(listed.structuredContent?.total, hasSchemas ? 2 : undefined);
  const purged = await call(agent, "memory_purge", { memory_id: `${id},ffffffff` });
  assert.ok(text(purged).includes("ffffffff"), text(purged));
}

// Resources and prompts, in the shapes that both SDKs check.
async function attached(agent) {
  const stored = await call(agent, "memory_store", { content: "We deploy with tools/ship.sh" });
  const id = text(stored).split("memory ")[1].split(" ")[0];
  await call(agent, "memory_branch", { name: "try/one" });
  const uris = (await agent.listResources()).resources.map((resource) => resource.uri);
  assert.deepEqual(uris, ["memoria://briefing", "memoria://branch/main/log", "memoria://branch/try%2Fone/log"]);
  const templates = (await agent.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate);
  assert.deepEqual(templates, ["memoria://memory/{id}", "memoria://branch/{name}/log"]);
  for (const uri of [...uris, `memoria://memory/${id}`]) {
    const { contents } = await agent.readResource({ uri });
    assert.ok(contents[0].text.length > 10, uri);
  }
  await assert.rejects(agent.readResource({ uri: "memoria://nonsense" }), /memoria:\/\/briefing/);
  assert.deepEqual((await agent.listPrompts()).prompts.map((prompt) => prompt.name), ["remember", "recall", "review-changes"]);
  const recalled = await agent.getPrompt({ name: "recall", arguments: { question: "How do we deploy?" } });
  assert.ok(recalled.messages[0].content.text.includes("tools/ship.sh"));
  await assert.rejects(agent.getPrompt({ name: "recall", arguments: {} }), /question/);
}

// A setting that changes while the agent runs is told, and the list is another one.
async function toldOfChanges(home) {
  const agent = await home.v1("listener");
  const told = new Promise((resolve) => {
    agent.setNotificationHandler(ToolListChangedNotificationSchema, () => resolve());
  });
  const before = (await agent.listTools()).tools.length;
  const config = join(home.server.env.MEMORIA_HOME, "config");
  mkdirSync(config, { recursive: true });
  writeFileSync(join(config, "config.toml"), '[mcp]\nprofile = "full"\n');
  await Promise.race([told, sleep(30_000).then(() => Promise.reject(new Error("nothing was told within 30 s")))]);
  assert.ok((await agent.listTools()).tools.length > before);
}

async function concurrently(one, two) {
  const store = (agent, who, n) => structured(agent, "memory_store", { content: `${who} learned fact ${n} zq${who}${n}` });
  const stores = Array.from({ length: 50 }, (_, n) => [store(one, "one", n), store(two, "two", n)]).flat();
  const ids = (await Promise.all(stores)).map((stored) => stored.memory.id);
  assert.equal(new Set(ids).size, 100);
  for (const agent of [one, two]) assert.equal((await structured(agent, "memory_list", { limit: 1 })).total, 100);
}

// What the README tells people to paste into an IDE's configuration, started as that IDE would.
async function readmeEntries() {
  const readme = readFileSync(new URL("../../../README.md", import.meta.url), "utf8");
  const blocks = [...readme.matchAll(/```json\n(.*?)```/gs)].map((block) => JSON.parse(block[1]));
  const entries = blocks.filter((block) => block.mcpServers).map((block) => block.mcpServers.memoria);
  assert.ok(entries.length > 0, "README.md shows no entry for an IDE");
  for (const entry of entries) {
    await inHome(async (home) => {
      const env = { ...home.server.env, PATH: dirname(BIN) + delimiter + process.env.PATH, ...entry.env };
      const agent = new ClientV1({ name: "ide", version: "1.0" });
      home.agents.push(agent);
      await agent.connect(new StdioV1({ ...home.server, command: entry.command, args: entry.args, env }));
      const { tools } = await agent.listTools();
      assert.deepEqual(tools.map((tool) => tool.name), TOOLS);
      // Tools that an entry lets run unasked exist, and destroy nothing.
      for (const name of entry.autoApprove ?? []) {
        assert.equal(tools.find((tool) => tool.name === name)?.annotations.destructiveHint, false, name);
      }
    });
  }
}

async function killed(home, agent) {
  const store = (n) => structured(agent, "memory_store", { content: `note ${n} kk${n}` });
  await store(0);
  for (let round = 0; round < 3; round++) {
    const stores = Array.from({ length: 20 }, (_, n) => store(1 + round * 20 + n));
    await sleep(5 * round);
    process.kill(await home.daemon(), "SIGKILL");
    await Promise.all(stores);
  }
  const listed = await structured(agent, "memory_list", { limit: 500 });
  const texts = new Set(listed.memories.map((memory) => memory.text));
  assert.equal(listed.total, 61);
  for (let n = 0; n < 61; n++) assert.ok(texts.has(`note ${n} kk${n}`), `note ${n} is lost`);
}

const tests = {
  "sdk 1.x: every tool": () => inHome(async (home) => everyTool(await home.v1(), "2025-11-25")),
  "sdk 1.x: resources and prompts": () => inHome(async (home) => attached(await home.v1())),
  "sdk 1.x: told of another profile": () => inHome(toldOfChanges),
  "sdk 1.x: errors are results": () =>
    inHome(async (home) => {
      const agent = await home.v1();
      for (const [name, args, sentence] of [
        ["memory_store", {}, "content"],
        ["memory_store", { content: "x", colour: "red" }, "colour"],
        ["memory_retrieve", { query: "x", top_k: -1 }, "top_k"],
        ["memory_correct", { memory_id: "deadbeef", new_content: "x" }, "deadbeef"],
        ["memory_purge", {}, "memory_id"],
      ]) {
        const result = await agent.callTool({ name, arguments: args });
        assert.ok(result.isError && text(result).includes(sentence), text(result));
      }
      await assert.rejects(agent.callTool({ name: "memory_nonsense", arguments: {} }), /memory_store/);
      await agent.ping();
    }),
  "sdk 1.x: two agents at once": () => inHome(async (home) => concurrently(await home.v1("one"), await home.v1("two"))),
  "sdk 1.x: the daemon is killed": () => inHome(async (home) => killed(home, await home.v1())),
  "sdk 1.x: a cancelled call leaves the session whole": () =>
    inHome(async (home) => {
      const agent = await home.v1();
      const cancel = new AbortController();
      const one = agent.callTool({ name: "memory_list", arguments: {} }, undefined, { signal: cancel.signal });
      cancel.abort("changed my mind");
      await assert.rejects(one);
      assert.equal((await structured(agent, "memory_list", {})).total, 0);
    }),
  "client 2.x: auto ends at the newest version": () =>
    inHome(async (home) => everyTool(await home.v2("auto"), "2026-07-28")),
  "client 2.x: the daemon is killed": () => inHome(async (home) => killed(home, await home.v2("2026-07-28"))),
  "the README's entries start": readmeEntries,
  "both at once": () => inHome(async (home) => concurrently(await home.v1("one"), await home.v2("2026-07-28", "two"))),
};
for (const version of [...HANDSHAKES, "2026-07-28"]) {
  tests[`client 2.x: every tool at ${version}`] = () =>
    inHome(async (home) => everyTool(await home.v2(version), version));
  tests[`client 2.x: resources and prompts at ${version}`] = () => inHome(async (home) => attached(await home.v2(version)));
}

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}`);
    console.error(error);
  }
}
console.log(`${Object.keys(tests).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
