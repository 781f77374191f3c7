"""A stdio MCP server for the tests, on the standard library: `python -I -S server.py [MODE ...]`.

It answers as it is told by the arguments of the tool that is called, all of them optional:

    echo=VALUE         what comes back, with the pid, the progress token and the id of the call
    seconds=N          answer after N seconds, while others are answered
    progress=N         send N progress notifications first
    log=LEVEL          send a log message of LEVEL first
    ask=METHOD         ask the client METHOD (with params) first, and send back its answer
    notify=METHOD      send the notification METHOD (with params) first
    die=True           exit at once
    stderr=N           write N bytes to stderr first
    bytes=N            answer with N bytes of text

Modes:
    slow=N             take N s until `initialize` is answered
    dies=N             exit with status N at once, with a line on stderr
    dies-if=PATH       the same with status 3, while PATH exists
    deaf               ignore the end of stdin and SIGTERM
    child              keep a child in a session of its own that ignores them, too
    modern             know 2026-07-28, too
    modern-only        know nothing else
    locked             know both, but only one on a pipe, as the Python SDK 2.x does
    alone=PATH         hold a lock on PATH, with all below it; note `met` when another has it
    noise              write what is no message to stdout
    tool=NAME          call the one tool so, instead of echo
    notes=PATH         append to PATH what comes, a line each
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Message = dict[str, Any]
MODES = dict(mode.partition("=")[::2] for mode in sys.argv[1:])
WRITING = threading.Lock()
ANSWERS: dict[str, queue.Queue[Message]] = {}
CANCELLED: set[object] = set()
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
SUBSCRIPTION_KEY = "io.modelcontextprotocol/subscriptionId"
TOOL = {
    "name": MODES.get("tool", "echo"),
    "description": "does as it is told",
    "inputSchema": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    },
}


def send(message: Message) -> None:
    data = json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n"
    with WRITING:
        while data:
            data = data[os.write(1, data) :]


def note(line: str) -> None:
    if path := MODES.get("notes"):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(fd, line.encode() + b"\n")
        os.close(fd)


def call(number: object, params: Message) -> None:
    args, meta = params.get("arguments") or {}, params.get("_meta") or {}
    token = meta.get("progressToken")
    answer = None
    if args.get("die"):
        os._exit(9)
    if size := args.get("stderr"):
        lines = (b"x" * 99 + b"\n") * 600
        while size > 0:
            size -= os.write(2, lines[:size])
    for step in range(args.get("progress", 0)):
        progress = {"progressToken": token, "progress": step, "message": str(args.get("echo"))}
        send({"method": "notifications/progress", "params": progress})
    if level := args.get("log"):
        send({"method": "notifications/message", "params": {"level": level, "data": "log"}})
    if method := args.get("notify"):
        send({"method": method, "params": args.get("params", {})})
    if method := args.get("ask"):
        mine = f"ask-{number}"
        ANSWERS[mine] = queue.Queue()
        send({"id": mine, "method": method, "params": args.get("params", {})})
        answer = ANSWERS[mine].get()
    end = time.monotonic() + args.get("seconds", 0)
    while time.monotonic() < end:
        if number in CANCELLED:
            note(f"stopped {number}")
            return
        time.sleep(0.005)
    said = {"echo": args.get("echo"), "pid": os.getpid(), "token": token, "id": number}
    if answer is not None:
        said["answer"] = answer.get("result", answer.get("error"))
    text = "x" * args["bytes"] if "bytes" in args else json.dumps(said)
    send({"id": number, "result": {"content": [{"type": "text", "text": text}]}})


def tried(work: Callable[..., None], *arguments: Any) -> None:
    """Do it; of a message that nobody foresaw say so, as a server would, and live."""
    try:
        work(*arguments)
    except (TypeError, AttributeError, LookupError, ValueError) as error:
        print(f"odd: {error!r}", file=sys.stderr, flush=True)
        message = arguments[0] if work is answer else {"id": arguments[0]}
        if isinstance(message, dict) and message.get("id") is not None:
            send({"id": message["id"], "error": {"code": -32602, "message": "odd"}})


class Era:
    """What was spoken first on this pipe."""

    first = ""


def answer(message: Message) -> None:
    method, params = message.get("method"), message.get("params") or {}
    number = message.get("id")
    note(json.dumps(message))
    if method is None:
        if waiting := ANSWERS.get(str(number)):
            waiting.put(message)
        return
    if method == "notifications/cancelled":
        CANCELLED.add(params.get("requestId"))
    if number is None:
        return
    enveloped = VERSION_KEY in (params.get("_meta") or {})
    era = "modern" if enveloped else "legacy"
    Era.first = Era.first or era
    wrong_era = {
        "modern": enveloped and "modern" not in MODES and "modern-only" not in MODES,
        "legacy": not enveloped and "modern-only" in MODES,
    }[era]
    if "locked" in MODES:
        wrong_era = False
        if Era.first != era:
            send({"id": number, "error": {"code": -32600, "message": "this pipe has its era"}})
            return
    if wrong_era:
        send({"id": number, "error": {"code": -32601, "message": "Method not found"}})
    elif method == "initialize":
        time.sleep(float(MODES.get("slow", 0)))
        capabilities = {"tools": {"listChanged": True}, "logging": {}, "resources": {}}
        result = {
            "protocolVersion": params["protocolVersion"],
            "capabilities": capabilities,
            "serverInfo": {"name": "test", "version": "1"},
            "instructions": "do as you like",
        }
        send({"id": number, "result": result})
    elif method == "server/discover":
        result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
        send({"id": number, "result": result | {"pid": os.getpid()}})
    elif method == "subscriptions/listen":
        meta = {"_meta": {SUBSCRIPTION_KEY: number}}
        send({"method": "notifications/subscriptions/acknowledged", "params": meta})
        send({"method": "notifications/tools/list_changed", "params": meta})
    elif method == "tools/list":
        send({"id": number, "result": {"tools": [TOOL]}})
    elif method == "tools/call":
        threading.Thread(target=tried, args=(call, number, params), daemon=True).start()
    elif method in ("logging/setLevel", "resources/subscribe", "resources/unsubscribe"):
        send({"id": number, "result": {}})
    else:
        send({"id": number, "error": {"code": -32601, "message": f"Method not found: {method}"}})


def be_deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def main() -> None:
    note(f"start {os.getpid()}")
    if "dies" in MODES or os.path.exists(MODES.get("dies-if", "")):
        print("no luck today", file=sys.stderr, flush=True)
        os._exit(int(MODES.get("dies", 3)))
    if path := MODES.get("alone"):
        try:
            fcntl.flock(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"met {os.getpid()}")
    if "deaf" in MODES:
        be_deaf()
    if "child" in MODES and not os.fork():
        os.setsid()
        be_deaf()
        note(f"child {os.getpid()}")
        if not os.fork():
            note(f"grandchild {os.getpid()}")
        while True:
            time.sleep(60)
    if "noise" in MODES:
        os.write(1, b"hello there\n\n{broken\n[1]\n\xff\xfe\n")
    for line in sys.stdin.buffer:
        tried(answer, json.loads(line))
    while "deaf" in MODES:
        time.sleep(60)


main()
