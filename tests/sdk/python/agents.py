"""Every agent set up by the real program in a made-up home: each configuration is read by a parser of its format, the
command that it names is run as that client would, and `uninstall` gives every byte back.

MEMORIA_BIN=path/to/memoria python agents.py       (memoriad stands beside it; the packages are in requirements.txt)
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib

import json5
import report
import yaml
from mcp import Client, StdioServerParameters
from mcp.types import Implementation

BIN = os.path.abspath(os.environ["MEMORIA_BIN"])
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "agents", "golden")
# The key that each client keeps its servers under, and whether its file may hold comments.
SERVERS = {
    "claude-code": ("mcpServers", json.loads),
    "cursor": ("mcpServers", json5.loads),
    "kiro": ("mcpServers", json5.loads),
    "codex": ("mcp_servers", tomllib.loads),
    "gemini": ("mcpServers", json5.loads),
    "vscode": ("servers", json5.loads),
    "vscode-insiders": ("servers", json5.loads),
    "windsurf": ("mcpServers", json5.loads),
    "zed": ("context_servers", json5.loads),
    "zed-flatpak": ("context_servers", json5.loads),
    "cline": ("mcpServers", json.loads),
    "roo": ("mcpServers", json.loads),
    "opencode": ("mcp", json5.loads),
    "goose": ("extensions", yaml.safe_load),
    "junie": ("mcpServers", json5.loads),
    "claude-desktop": ("mcpServers", json.loads),
}


class Home:
    """A made-up home folder with a project in it, for one agent; its daemon is stopped in the end."""

    def __init__(self, agent, case):
        self.folder = tempfile.TemporaryDirectory(prefix="memoria-agents-", dir="/tmp")
        self.path = os.path.realpath(self.folder.name)
        self.project = os.path.join(self.path, "shop")
        os.makedirs(os.path.join(self.project, ".git"))
        before = os.path.join(GOLDEN, agent, case, "before")
        if os.path.isdir(before):
            shutil.copytree(before, self.path, dirs_exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "SYSTEMROOT") if name in os.environ}
        path = os.path.dirname(BIN) + os.pathsep + kept["PATH"]
        self.env = {**kept, "PATH": path, "HOME": self.path, "MEMORIA_HOME": os.path.join(self.path, "memoria-home")}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([BIN, "stop"], env=self.env, capture_output=True, timeout=60)
        self.folder.cleanup()

    def run(self, *args):
        done = subprocess.run([BIN, *args, "--json"], env=self.env, cwd=self.project, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, (args, done)
        return json.loads(done.stdout)

    def files(self):
        """Every file but Memoria's own, by its path."""
        found = {}
        for folder, folders, names in os.walk(self.path):
            folders[:] = [name for name in folders if name != "memoria-home"]
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    found[os.path.join(folder, name)] = file.read()
        return found


def command_line(entry):
    """The words that start our server, as each client's keys say them."""
    first = entry.get("command", entry.get("cmd"))
    return [*(first if isinstance(first, list) else [first]), *entry.get("args", [])]


async def round_trip(home, words, agent):
    params = StdioServerParameters(command=words[0], args=words[1:], env=home.env, cwd=home.project)
    async with Client(params, client_info=Implementation(name=agent, version="1.0"), read_timeout_seconds=60) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        assert "memory_store" in tools and "memory_retrieve" in tools, tools
        fact = f"{agent} ships with tools/ship.sh"
        stored = await client.call_tool("memory_store", {"content": fact})
        assert not stored.is_error, stored
        found = await client.call_tool("memory_retrieve", {"query": "what does it ship with?"})
        assert fact in found.content[0].text, found
        return tools


async def check(agent, case, scope, ran):
    key, parse = SERVERS[agent]
    with Home(agent, case) as home:
        before = home.files()
        changes = home.run("init", "--agent", agent, "--scope", scope, "--yes")["changes"]
        after = home.files()
        assert {change["file"] for change in changes} == {name for name in after if after[name] != before.get(name)}
        for file in [change["file"] for change in changes if "server" in change["purposes"]]:
            value = parse(after[file].decode("utf-8-sig"))
            words = command_line(value[key]["memoria"])
            assert words == [BIN if scope == "user" else "memoria", "mcp"], words
            await round_trip(home, words, agent)
            ran.append(file)
        again = home.run("init", "--agent", agent, "--scope", scope, "--yes")
        assert again["changes"] == [] and home.files() == after, again
        home.run("uninstall", "--agent", agent, "--yes")
        assert home.files() == before, "uninstall leaves something, or takes too much"


def main():
    """Each agent with nothing there and with files of a user's; those that know projects, in a project."""
    runs = [(agent, case, "user") for agent in SERVERS for case in ("absent", "commented", "unusual")]
    runs += [(agent, "project", "project") for agent in SERVERS if os.listdir(os.path.join(GOLDEN, agent)).count("project")]
    servers = []
    is_good = report.run([(f"{agent}, {case}", check(agent, case, scope, servers)) for agent, case, scope in runs])
    print(f"{len(servers)} servers' entries were run")
    sys.exit(0 if is_good and len(servers) >= 3 * len(SERVERS) else 1)


main()
