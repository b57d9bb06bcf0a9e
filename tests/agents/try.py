"""What `memoria init` writes, tried with the real clients: each is started in a made-up home and asked one question, a
stand-in on loopback takes the place of its model and writes down what the model would have been shown.

MEMORIA_BIN=path/to/memoria python3 tests/agents/try.py FOLDER [AGENT...]

Needs node and npm; installs the clients under FOLDER (1.5 GB), at the versions that `src/agents/` says were tried. Not part
of CI: it is run when a client's format changes, or ours.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BIN = os.path.abspath(os.environ["MEMORIA_BIN"])
QUESTION = "On which day do we deploy the webshop?"
FACT = "The webshop is deployed on Thursdays, by tools/ship.sh"
RULE = "**Retrieve** with `memory_retrieve`"

ANTHROPIC = [
    {"type": "message_start", "message": {
        "id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ok"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]
RESPONSES = [
    {"type": "response.created", "response": {"id": "r"}},
    {"type": "response.output_item.done", "item": {
        "type": "message", "role": "assistant", "id": "m", "content": [{"type": "output_text", "text": "ok"}]}},
    {"type": "response.completed", "response": {
        "id": "r", "output": [], "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}},
]
CHAT = [
    {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
        {"index": 0, "delta": {"role": "assistant", "content": "ok"}, "finish_reason": None}]},
    {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
        {"index": 0, "delta": {}, "finish_reason": "stop"}]},
]
GEMINI = [{"candidates": [{"content": {"role": "model", "parts": [{"text": "ok"}]}, "finishReason": "STOP", "index": 0}]}]
STREAMS = {"/messages": ANTHROPIC, "/responses": RESPONSES, "/chat/completions": CHAT, "treamGenerateContent": GEMINI}


class Model:
    """Answers "ok" in the streams of four makers; keeps what it was asked."""

    def __enter__(self):
        self.asked = asked = []

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do(self):
                asked.append(self.rfile.read(int(self.headers.get("content-length") or 0)).decode("utf-8", "replace"))
                events = next((events for path, events in STREAMS.items() if path in self.path), None)
                self.send_response(200)
                self.send_header("content-type", "text/event-stream" if events else "application/json")
                self.end_headers()
                for event in events or []:
                    name = f"event: {event['type']}\n" if "type" in event else ""
                    self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
                if not events:
                    # Gemini's router asks without a stream, for JSON; it tries again for long where it gets none.
                    answer = json.dumps(GEMINI[0]).replace('"ok"', '"{}"') if "generateContent" in self.path else "{}"
                    self.wfile.write(answer.encode())

            do_GET = do_POST = do_HEAD = do

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def codex(home, url):
    write(home, ".codex/config.toml", f'[model_providers.fake]\nname = "fake"\nbase_url = "{url}/v1"\nwire_api = "responses"\n')
    words = ["codex", "exec", "-c", "model_provider=fake", "--skip-git-repo-check", "--dangerously-bypass-hook-trust", QUESTION]
    return words, {}


def claude(home, url):
    return ["claude", "-p", QUESTION], {
        "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}


def gemini(home, url):
    write(home, ".gemini/settings.json", json.dumps({"security": {"auth": {"selectedType": "gemini-api-key"}}}))
    write(home, ".gemini/trustedFolders.json", json.dumps({home + "/shop": "TRUST_FOLDER"}))
    # Without a person it lists only tools that need no asking.
    words = ["gemini", "--approval-mode", "yolo", "-p", QUESTION]
    return words, {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "none"}


def opencode(home, url):
    provider = {"npm": "@ai-sdk/openai-compatible", "options": {"baseURL": url + "/v1", "apiKey": "x"}, "models": {"m": {}}}
    config = json.dumps({"provider": {"fake": provider}, "model": "fake/m"})
    write(home, ".config/opencode/opencode.jsonc", "// of the user\n" + config)
    return ["opencode", "run", QUESTION], {}


def cline(home, url):
    return ["cline", "config", "mcp", "--json"], {}


# The package, how it is asked, whether its hooks add to the context, whether it shows its tools to the model at once.
CLIENTS = {
    "claude-code": ("@anthropic-ai/claude-code@2.1.197", claude, True, True),
    "codex": ("@openai/codex@0.169.0", codex, True, False),
    "gemini": ("@google/gemini-cli@0.61.0", gemini, True, True),
    "opencode": ("opencode-ai@1.18.33", opencode, False, True),
    "cline": ("cline@3.0.65", cline, None, None),
}


def write(home, name, text):
    path = os.path.join(home, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def try_client(agent, folder):
    package, prepare, has_hooks, shows_tools = CLIENTS[agent]
    at = os.path.join(folder, agent)
    if not os.path.isdir(os.path.join(at, "node_modules")):
        write(at, "package.json", '{"private": true}')
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", package], cwd=at, check=True)
    with tempfile.TemporaryDirectory(prefix="memoria-try-") as home, Model() as model:
        home = os.path.realpath(home)
        project = os.path.join(home, "shop")
        os.makedirs(os.path.join(project, ".git"))
        words, env = prepare(home, model.url)
        path = os.path.join(at, "node_modules", ".bin") + ":/usr/bin:/bin"
        env |= {"PATH": path, "HOME": home, "MEMORIA_HOME": home + "/memoria-home", "TERM": "dumb", "NO_COLOR": "1"}

        def run(*words):
            done = subprocess.run(words, env=env, cwd=project, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180)
            assert done.returncode == 0, (words, done)
            return done.stdout

        try:
            run(BIN, "store", FACT)
            run(BIN, "init", "--agent", agent, "--yes")
            # A hook is silent where it takes more than 300 ms, as it may on a busy machine.
            for _ in range(3):
                model.asked.clear()
                began = time.monotonic()
                said = run(*words)
                seconds = time.monotonic() - began
                if not has_hooks or any(FACT in asked for asked in model.asked):
                    break
            if has_hooks is None:
                assert any(server["name"] == "memoria" and not server["disabled"] for server in json.loads(said)), said
                return f"lists our server ({seconds:.1f} s)"
            asked = max(model.asked, key=len)
            assert RULE in asked, "the rule did not reach the model"
            assert not shows_tools or "memory_rollback" in asked.replace(RULE, ""), "the tools did not reach the model"
            assert not has_hooks or FACT in asked, "the hooks' briefing did not reach the model"
            parts = ["rule"] + ["tools"] * shows_tools + ["briefing"] * has_hooks
            return f"{', '.join(parts)} reach the model ({seconds:.1f} s)"
        finally:
            subprocess.run([BIN, "stop"], env=env, capture_output=True, timeout=60)


def main():
    folder, *agents = sys.argv[1:]
    failed = 0
    for agent in agents or CLIENTS:
        try:
            print(f"ok      {CLIENTS[agent][0]}: {try_client(agent, os.path.abspath(folder))}", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAILED  {CLIENTS[agent][0]}: {error}", flush=True)
    print(f"{len(agents or CLIENTS) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
