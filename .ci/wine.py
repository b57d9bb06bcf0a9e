"""Runs the Windows binaries under wine: an agent's session through the real shim, the named pipe and the real daemon.
Usage: wine.py FOLDER-WITH-THE-EXES. Prints what it does; exits non-zero at the first thing that does not hold."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading

ANSWER_S_MAX = 60  # wine on a busy machine; a deadline, not a measurement

folder = os.path.abspath(sys.argv[1])
scratch = tempfile.mkdtemp(prefix="memoria-wine-")
env = {
    **os.environ,
    "WINEPREFIX": os.path.join(scratch, "prefix"),
    "WINEDEBUG": "-all",
    # No browser engine, no .NET: they would ask to be installed.
    "WINEDLLOVERRIDES": "mscoree,mshtml=",
    "MEMORIA_HOME": "Z:" + os.path.join(scratch, "home").replace("/", "\\"),
}


def start(*arguments, **pipes):
    return subprocess.Popen(["wine", *arguments], env=env, cwd=scratch, text=True, encoding="utf-8", **pipes)


def memoria(*arguments):
    done = subprocess.run(
        ["wine", os.path.join(folder, "memoria.exe"), *arguments],
        env=env, cwd=scratch, capture_output=True, text=True, encoding="utf-8", timeout=ANSWER_S_MAX,
    )
    return done.returncode, done.stdout, done.stderr


class Agent:
    """Speaks JSON-RPC lines with a shim."""

    def __init__(self):
        exe = os.path.join(folder, "memoria.exe")
        self.shim = start(exe, "mcp", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.last_id = 0
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "wine", "version": "1"}}
        self.server = self.ask("initialize", hello)["serverInfo"]
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message):
        self.shim.stdin.write(json.dumps(message) + "\n")
        self.shim.stdin.flush()

    def ask(self, method, params):
        self.last_id += 1
        self.send({"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params})
        watchdog = threading.Timer(ANSWER_S_MAX, self.shim.kill)
        watchdog.start()
        while True:
            line = self.shim.stdout.readline()
            assert line, f"the shim ended, or did not answer {method} within {ANSWER_S_MAX} s"
            reply = json.loads(line)  # every line is JSON-RPC, or this fails
            if reply.get("id") == self.last_id:
                watchdog.cancel()
                assert "result" in reply, reply
                return reply["result"]

    def call(self, tool, **arguments):
        result = self.ask("tools/call", {"name": tool, "arguments": arguments})
        assert not result.get("isError"), result
        return "".join(part.get("text", "") for part in result["content"])

    def end(self):
        self.shim.stdin.close()
        assert self.shim.wait(ANSWER_S_MAX) == 0, "the shim does not end well at the end of its input"


def run():
    print("making a wine prefix")
    subprocess.run(["wineboot", "--init"], env=env, cwd=scratch, timeout=180, check=False,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    print("the daemon in the foreground, and two agents on its named pipe")
    daemon = start(os.path.join(folder, "memoriad.exe"), "--foreground",
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    one, two = Agent(), Agent()
    print("  initialize answered by", one.server)
    assert one.ask("tools/list", {})["tools"], "no tools"
    print(" ", one.call("memory_store", content="The parser of the blue service lives in crates/parse").splitlines()[0])
    found = two.call("memory_retrieve", query="where is the parser of the blue service?")
    assert "crates/parse" in found, found
    print("  the second agent finds what the first one stored")
    code, out, err = memoria("status", "--json")
    assert code == 0, (code, out, err)
    print("  status:", json.loads(out)["version"], "with", len(json.loads(out)["sessions"]), "sessions")
    one.end()
    two.end()
    code, out, err = memoria("stop")
    assert code == 0, (code, out, err)
    assert daemon.wait(ANSWER_S_MAX) == 0, "the daemon does not end well when it is stopped"

    print("no daemon: the shim starts one, and what was stored is still there")
    three = Agent()
    assert "crates/parse" in three.call("memory_retrieve", query="where is the parser of the blue service?")
    three.end()
    code, out, err = memoria("stop")
    assert code == 0, (code, out, err)
    print("all of it holds")


try:
    run()
finally:
    # Only the processes of this prefix.
    subprocess.run(["wineserver", "-k"], env=env, timeout=60, check=False)
    shutil.rmtree(scratch, ignore_errors=True)
