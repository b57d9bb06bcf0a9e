// What the tools that are listed by default cost a model: names, descriptions and input schemas, by three tokenizers.
// Fails when any of them counts more than TOKENS_MAX, 1500 by default.
import { readFileSync } from "node:fs";
import { countTokens } from "@anthropic-ai/tokenizer";
import { encode as cl100k } from "gpt-tokenizer/encoding/cl100k_base";
import { encode as o200k } from "gpt-tokenizer/encoding/o200k_base";

const file = new URL("../../../src/mcp/tools.json", import.meta.url);
const tools = JSON.parse(readFileSync(file, "utf8")).tools.filter((tool) => tool.profile !== "full");
const shown = JSON.stringify(tools.map(({ name, description, inputSchema }) => ({ name, description, inputSchema })));
const counts = { o200k: o200k(shown).length, cl100k: cl100k(shown).length, claude: countTokens(shown) };
const max = Number(process.env.TOKENS_MAX ?? 1500);
console.log(`${tools.length} tools, ${shown.length} bytes, tokens: ${JSON.stringify(counts)}, allowed: ${max}`);
process.exit(Object.values(counts).every((count) => count > 0 && count <= max) ? 0 : 1);
