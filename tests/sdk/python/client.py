"""The official Python SDK as an agent: over the real shim, against the real daemon, at every protocol version.

MEMORIA_BIN=path/to/memoria python client.py      (memoriad stands beside it; the packages are in requirements.txt)
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings

import jsonschema
import mcp.client.session
import report
from mcp import Client, StdioServerParameters
from mcp.types import Implementation
from mcp.types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

warnings.simplefilter("ignore")
BIN = os.path.abspath(os.environ["MEMORIA_BIN"])
TOOLS = [
    "memory_store", "memory_retrieve", "memory_list", "memory_correct", "memory_purge", "memory_feedback",
    "memory_snapshot", "memory_branch", "memory_checkout", "memory_diff", "memory_merge", "memory_rollback",
]
UNICODE = "Ünïcödé 测试 👩‍👩‍👧 שלום e\u0301 \U0001f9ff tab\tand\nnewline"


class Home:
    """A home of its own for one test; its daemon is stopped in the end."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="memoria-sdk-", dir="/tmp")
        self.env = {**os.environ, "MEMORIA_HOME": self.folder.name}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.run("stop")
        self.folder.cleanup()

    def run(self, *args):
        return subprocess.run([BIN, *args], env=self.env, capture_output=True, text=True, timeout=60)

    def daemon(self):
        """Its process; asked again while a busy machine keeps it from answering in time."""
        for _ in range(20):
            pid = json.loads(self.run("status", "--json").stdout)["pid"]
            if pid is not None:
                return pid
        raise AssertionError("no daemon answers")

    def agent(self, version=HANDSHAKE_PROTOCOL_VERSIONS[-1], name="python-agent"):
        """A client that speaks this version. The SDK always offers its newest handshake; older ones are set by hand."""
        handshake = version in HANDSHAKE_PROTOCOL_VERSIONS
        mcp.client.session.LATEST_HANDSHAKE_VERSION = version if handshake else HANDSHAKE_PROTOCOL_VERSIONS[-1]
        params = StdioServerParameters(command=BIN, args=["mcp"], env=self.env, cwd=self.folder.name)
        info = Implementation(name=name, version="1.0")
        return Client(params, mode="legacy" if handshake else version, client_info=info, read_timeout_seconds=60)


def text(result):
    return result.content[0].text


def structured(result):
    assert not result.is_error, text(result)
    return result.structured_content


async def check_version(version):
    """Storing, finding, correcting and forgetting at one version, with what that version knows of the tools."""
    with Home() as home:
        async with home.agent(version) as agent:
            tools = {tool.name: tool for tool in (await agent.list_tools()).tools}
            assert list(tools) == TOOLS, list(tools)
            has_schemas = version >= "2025-06-18"

            async def call(tool, **arguments):
                result = await agent.call_tool(tool, arguments)
                assert not result.is_error, text(result)
                assert (result.structured_content is not None) == has_schemas, version
                if has_schemas:
                    schema = tools[tool].output_schema
                    jsonschema.Draft202012Validator.check_schema(schema)
                    jsonschema.validate(result.structured_content, schema, cls=jsonschema.Draft202012Validator)
                else:
                    assert tools[tool].output_schema is None
                return result

            if version in HANDSHAKE_PROTOCOL_VERSIONS:
                await agent.send_ping()
            stored = await call("memory_store", content="The deploy script is tools/ship.sh", tags=["deploy"])
            memory_id = text(stored).split("memory ")[1].split(" ")[0]
            assert len(memory_id) >= 8, text(stored)
            await call("memory_store", content=UNICODE, extra_metadata={"ключ": ["значение", 1]})
            again = await call("memory_store", content="The deploy script is tools/ship.sh", tags=["deploy"])
            assert "Already stored" in text(again), text(again)
            found = await call("memory_retrieve", query="How do we deploy?", explain=True, max_tokens=500)
            assert "tools/ship.sh" in text(found) and memory_id in text(found), text(found)
            corrected = await call("memory_correct", memory_id=memory_id, new_content="We deploy with just ship", reason="moved")
            assert memory_id in text(corrected)
            listed = await call("memory_list", limit=10)
            assert "We deploy with just ship" in text(listed) and UNICODE in text(listed), text(listed)
            if has_schemas:
                memories = listed.structured_content["memories"]
                assert UNICODE in [memory["text"] for memory in memories]
                assert memories[0]["origin"]["agent"] == "python-agent", memories[0]
                assert {"ключ": ["значение", 1]} in [memory["metadata"] for memory in memories]
            purged = await call("memory_purge", memory_id=f"{memory_id},ffffffff", reason="test")
            assert "ffffffff" in text(purged), text(purged)
            none = await call("memory_retrieve", query="What is the airspeed of a swallow?")
            assert text(none).startswith("No relevant memories found"), text(none)


async def check_versions():
    """A branch is tried, compared, merged and taken back; what each tool says fits its schema."""
    with Home() as home:
        async with home.agent(name="brancher") as agent:
            tools = {tool.name: tool for tool in (await agent.list_tools()).tools}

            async def call(tool, **arguments):
                result = await agent.call_tool(tool, arguments)
                assert not result.is_error, text(result)
                jsonschema.validate(result.structured_content, tools[tool].output_schema, cls=jsonschema.Draft202012Validator)
                return result

            async def texts(**arguments):
                return sorted(memory["text"] for memory in structured(await call("memory_list", **arguments))["memories"])

            await call("memory_store", content="We deploy with tools/ship.sh")
            await call("memory_snapshot", name="before", description="before the trial")
            created = await call("memory_branch", name="trial")
            assert "memory_checkout" in text(created), text(created)
            stored = structured(await call("memory_store", content="The trial runs on blue", branch="trial"))
            assert stored["branch"] == "trial"
            assert await texts() == ["We deploy with tools/ship.sh"], "the branch leaks"
            diff = await call("memory_diff", source="trial")
            assert structured(diff)["counts"]["added"] == 1 and "The trial runs on blue" in text(diff), text(diff)
            assert structured(diff)["changes"][0]["id"] == stored["memory"]["id"]
            dry = structured(await call("memory_merge", source="trial", dry_run=True))
            assert dry["dry_run"] and dry["commit"] is None and dry["counts"]["added"] == 1, dry
            merged = structured(await call("memory_merge", source="trial"))
            assert merged["commit"] and not merged["conflicts"], merged
            assert await texts() == ["The trial runs on blue", "We deploy with tools/ship.sh"]
            again = structured(await call("memory_merge", source="trial"))
            assert again["commit"] is None and again["merged"]["all"], again
            back = await call("memory_rollback", name="before")
            assert structured(back)["counts"]["removed"] == 1, structured(back)
            assert structured(back)["safety"] in text(back), text(back)
            assert await texts() == ["We deploy with tools/ship.sh"]
            assert await texts(at=structured(back)["safety"]) == ["The trial runs on blue", "We deploy with tools/ship.sh"]
            checkout = structured(await call("memory_checkout", name="trial"))
            assert checkout["current"] == "trial" and len(await texts()) == 2, checkout


async def check_full_profile():
    """The whole list of tools by a setting; each of them is called, and what it says fits its schema."""
    with Home() as home:
        home.env["MEMORIA_MCP_PROFILE"] = "full"
        async with home.agent(name="historian") as agent:
            tools = {tool.name: tool for tool in (await agent.list_tools()).tools}
            assert list(tools)[: len(TOOLS)] == TOOLS and len(tools) == 25, list(tools)
            called = set(TOOLS)

            async def call(tool, **arguments):
                called.add(tool)
                result = await agent.call_tool(tool, arguments)
                said = structured(result)
                jsonschema.Draft202012Validator.check_schema(tools[tool].output_schema)
                jsonschema.validate(said, tools[tool].output_schema, cls=jsonschema.Draft202012Validator)
                return said

            fact = (await call("memory_store", content="We deploy on Fridays"))["memory"]["short_id"]
            await call("memory_feedback", memory_id=fact, signal="useful")
            await call("memory_profile")
            await call("memory_snapshot", name="before")
            await call("memory_branch", name="trial")
            await call("memory_correct", memory_id=fact, new_content="We deploy on Mondays", branch="trial")
            extra = (await call("memory_store", content="The trial runs on blue", branch="trial"))["memory"]["short_id"]
            await call("memory_correct", memory_id=fact, new_content="We deploy on Tuesdays")
            waiting = await call("memory_merge", source="trial")
            assert waiting["pending"] and waiting["conflicts"][0]["short_id"] == fact, waiting
            assert (await call("memory_branches"))["merging"] == ["main"]
            settled = await call("memory_resolve", memory_id=fact, text="We deploy on Mondays and Tuesdays")
            assert settled["conflicts"][0]["settled"] == "text" and settled["counts"]["conflicts"] == 0, settled
            merge = (await call("memory_resolve", commit=True))["commit"][:12]
            log = await call("memory_log", all=True)
            assert log["commits"][0]["id"].startswith(merge) and log["total"] == len(log["commits"]) == 6, log
            blame = await call("memory_blame", memory_id=fact)
            assert blame["total"] == len(blame["history"]) == 4, blame
            assert (await call("memory_revert", commit=merge))["counts"]["removed"] == 1
            assert (await call("memory_undo"))["counts"]["added"] == 1
            assert (await call("memory_redo"))["counts"]["removed"] == 1
            picked = await call("memory_pick", source="trial", ids=[extra])
            assert picked["counts"]["added"] == 1, picked
            applied = await call("memory_apply", source="before", dry_run=True)
            assert applied["counts"]["removed"] == 1 and applied["counts"]["changed"] == 1, applied
            assert "before" in [snapshot["name"] for snapshot in (await call("memory_snapshots"))["snapshots"]]
            assert (await call("memory_snapshot_delete", names="before"))["total"] == 1
            assert (await call("memory_branch_delete", name="trial"))["current"] == "main"
            assert called == set(tools), set(tools) - called


async def check_attached():
    """Resources and prompts at every version: listed, read, filled in, and refused in a sentence."""
    for version in (*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS):
        with Home() as home:
            async with home.agent(version) as agent:
                stored = structured_or_text(await agent.call_tool("memory_store", {"content": "We deploy with tools/ship.sh"}))
                await agent.call_tool("memory_branch", {"name": "try/one"})
                uris = [str(one.uri) for one in (await agent.list_resources()).resources]
                logs = ["memoria://branch/main/log", "memoria://branch/try%2Fone/log"]
                assert uris[0] == "memoria://briefing" and sorted(uris[1:]) == logs, uris
                templates = [one.uri_template for one in (await agent.list_resource_templates()).resource_templates]
                assert templates == ["memoria://memory/{id}", "memoria://branch/{name}/log"], templates
                for uri, part in [
                    *[(uri, "store") for uri in logs], (f"memoria://memory/{stored}", "tools/ship.sh"),
                    ("memoria://briefing", "Memoria"),
                ]:
                    read = (await agent.read_resource(uri)).contents[0]
                    assert part in read.text, (version, uri, read.text)
                try:
                    await agent.read_resource("memoria://nonsense")
                    raise AssertionError("a resource that is not there was read")
                except mcp.shared.exceptions.MCPError as error:
                    assert "memoria://briefing" in str(error), error
                prompts = {prompt.name: prompt for prompt in (await agent.list_prompts()).prompts}
                assert list(prompts) == ["remember", "recall", "review-changes"], prompts
                for name, arguments, part in [
                    ("remember", {"what": "the gate is blue"}, "the gate is blue"),
                    ("recall", {"question": "How do we deploy?"}, "tools/ship.sh"),
                    ("review-changes", {}, "tools/ship.sh"),
                ]:
                    got = await agent.get_prompt(name, arguments)
                    assert part in got.messages[0].content.text, (version, name, got)


def structured_or_text(stored):
    """The id of a stored memory; before 2025-06-18 only the text has it."""
    assert not stored.is_error, text(stored)
    return text(stored).split("memory ")[1].split(" ")[0]


async def check_auto():
    """A client that asks `server/discover` first ends at the newest version."""
    with Home() as home:
        async with home.agent("auto") as agent:
            assert agent.protocol_version == MODERN_PROTOCOL_VERSIONS[-1], agent.protocol_version
            assert (await agent.call_tool("memory_list", {})).structured_content["total"] == 0


async def check_errors():
    """Wrong calls are results that say what to do, and the session goes on."""
    with Home() as home:
        async with home.agent() as agent:
            for tool, arguments, sentence in [
                ("memory_store", {}, "content"),
                ("memory_store", {"content": "x", "memory_type": "nonsense"}, "semantic"),
                ("memory_store", {"content": "x", "colour": "red"}, "colour"),
                ("memory_retrieve", {"query": "x", "top_k": -1}, "top_k"),
                ("memory_correct", {"memory_id": "deadbeef", "new_content": "x"}, "deadbeef"),
                ("memory_purge", {}, "memory_id"),
            ]:
                result = await agent.call_tool(tool, arguments)
                assert result.is_error and sentence in text(result), (tool, arguments, result)
            try:
                await agent.call_tool("memory_nonsense", {})
                raise AssertionError("an unknown tool was called")
            except mcp.shared.exceptions.MCPError as error:
                assert "memory_store" in str(error), error
            assert structured(await agent.call_tool("memory_list", {}))["total"] == 0


async def check_concurrency():
    """Two agents, fifty stores at once each; both see all of it at once."""
    with Home() as home:
        async with home.agent(name="one") as one, home.agent(name="two") as two:
            async def store(agent, who, n):
                return structured(await agent.call_tool("memory_store", {"content": f"{who} learned fact {n} zq{who}{n}"}))

            stores = [store(agent, who, n) for n in range(50) for agent, who in ((one, "one"), (two, "two"))]
            done = await asyncio.gather(*stores)
            assert len({stored["memory"]["id"] for stored in done}) == 100
            for agent in (one, two):
                assert structured(await agent.call_tool("memory_list", {"limit": 1}))["total"] == 100
            fresh = structured(await one.call_tool("memory_store", {"content": "the beacon is lit"}))
            found = structured(await two.call_tool("memory_retrieve", {"query": "is the beacon lit?", "top_k": 1}))
            assert found["memories"][0]["id"] == fresh["memory"]["id"]
            assert found["memories"][0]["origin"]["agent"] == "one"


async def check_kill():
    """The daemon is killed while the agent writes: no error, nothing lost, nothing twice."""
    for version in (HANDSHAKE_PROTOCOL_VERSIONS[-1], MODERN_PROTOCOL_VERSIONS[-1]):
        with Home() as home:
            async with home.agent(version) as agent:
                async def store(n):
                    return structured(await agent.call_tool("memory_store", {"content": f"note {n} kk{n}"}))

                await store(0)
                for round_ in range(3):
                    first = 1 + round_ * 20
                    stores = [asyncio.create_task(store(n)) for n in range(first, first + 20)]
                    await asyncio.sleep(0.005 * round_)
                    os.kill(home.daemon(), signal.SIGKILL)
                    done = await asyncio.gather(*stores)
                    assert not any(stored["duplicate"] for stored in done)
                listed = structured(await agent.call_tool("memory_list", {"limit": 500}))
                texts = sorted(memory["text"] for memory in listed["memories"])
                assert texts == sorted(f"note {n} kk{n}" for n in range(61)), (len(texts), listed["total"])
                assert {memory["origin"]["agent"] for memory in listed["memories"]} == {"python-agent"}


async def check_secrets():
    """A secret reaches neither an answer nor a byte on disk, at the loudest log level, wherever it stands."""
    secret = "ghp_" + "q0W1e2R3t4Y5u6I7o8P9aSdFgHjKlZxCvBnM"
    with Home() as home:
        home.env["MEMORIA_LOG_LEVEL"] = "trace"
        async with home.agent() as agent:
            stored = await agent.call_tool("memory_store", {
                "content": f"the deploy token is {secret}", "extra_metadata": {"note": f"or {secret}"}, "tags": [secret],
            })
            assert "GitHub token" in text(stored), text(stored)
            memory_id = structured(stored)["memory"]["id"]
            await agent.call_tool("memory_correct", {"memory_id": memory_id, "new_content": f"now {secret}!", "reason": secret})
            await agent.call_tool("memory_retrieve", {"query": f"what is {secret}"})
            await agent.call_tool("memory_store", {"content": "x", secret: 1})
            listed = await agent.call_tool("memory_list", {})
            assert "[masked: GitHub token]" in text(listed) and secret not in listed.model_dump_json(), text(listed)
        home.run("stop")
        for folder, _, files in os.walk(home.folder.name):
            for name in files:
                with open(os.path.join(folder, name), "rb") as file:
                    assert secret.encode() not in file.read(), f"{name} holds the secret"


def main():
    checks = [(f"version {v}", check_version(v)) for v in (*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS)]
    checks += [("auto", check_auto()), ("resources and prompts", check_attached()), ("errors", check_errors()), ("concurrency", check_concurrency()), ("kill", check_kill())]
    checks += [("versions", check_versions()), ("full profile", check_full_profile()), ("secrets", check_secrets())]
    sys.exit(0 if report.run(checks) else 1)


main()
