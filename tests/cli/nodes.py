"""Real nodes, and what poses as one, for commands to talk to."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from eth_keyfile.keyfile import create_keyfile_json

from toolkit.devnet.anvil import start_anvil
from toolkit.devnet.strict_node import StrictNode, open_strict_node

KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
OWNER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
REAL_KEY = "0x" + "5a" * 32


def ask(url: str, method: str, *params: object) -> object:
    """A node's answer."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read())["result"]


@contextmanager
def anvil(*options: str) -> Iterator[str]:
    """A running Anvil's endpoint."""
    process = asyncio.run(start_anvil(options))
    try:
        yield process.url
    finally:
        asyncio.run(process.stop())


def _pooled(url: str) -> set[str]:
    """Hashes of what a node's pool could mine."""
    pending = ask(url, "txpool_content")
    assert isinstance(pending, dict)
    return {tx["hash"] for of in pending["pending"].values() for tx in of.values()}


@contextmanager
def mining_once_replaced(url: str) -> Iterator[None]:
    """Mine each second from the moment that the pool holds something else than it does now."""
    before, ended = _pooled(url), threading.Event()

    def wait() -> None:
        while not ended.wait(0.02):
            if _pooled(url) - before:
                ask(url, "evm_setIntervalMining", 1)
                return

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Strict:
    """A node with a real client's pool rules, driven from outside of its event loop."""

    def __init__(self, node: StrictNode, loop: asyncio.AbstractEventLoop) -> None:
        self.url = node.rpc_url
        self.accounts = node.accounts
        self._node = node
        self._loop = loop

    def seal(self, count: int = 1) -> None:
        """Mine what the pool has, so many times."""
        asyncio.run_coroutine_threadsafe(self._node.seal(count), self._loop).result(timeout=60)

    @contextmanager
    def sealing(self) -> Iterator[None]:
        """Mine again and again, as a chain does."""
        ended = threading.Event()

        def seal() -> None:
            while not ended.wait(0.2):
                self.seal()

        thread = threading.Thread(target=seal)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@contextmanager
def strict(profile: str) -> Iterator[Strict]:
    """A running strict node, answering in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    opened = open_strict_node(profile=profile)
    node = asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(timeout=60)
    try:
        yield Strict(node, loop)
    finally:
        closing = opened.__aexit__(None, None, None)
        asyncio.run_coroutine_threadsafe(closing, loop).result(timeout=60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """The endpoint of a server that answers each body so."""

    class Front(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Front)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def posing_as_geth(url: str) -> Iterator[str]:
    """The same node behind a front that says it is a real one."""

    def answer(body: bytes) -> bytes:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        asked = json.loads(body)
        if isinstance(asked, dict) and asked["method"] == "web3_clientVersion":
            return json.dumps(
                {"jsonrpc": "2.0", "id": asked["id"], "result": "Geth/v1.16"}
            ).encode()
        with urllib.request.urlopen(request, timeout=30) as response:
            return bytes(response.read())

    with answering(answer) as front:
        yield front


def keyfile_options(folder: Path) -> list[str]:
    """Options that open a keyfile with a real-looking key."""
    keyfile = create_keyfile_json(
        bytes.fromhex(REAL_KEY[2:]), b"secret", kdf="pbkdf2", iterations=1
    )
    (folder / "mine.json").write_text(json.dumps(keyfile))
    (folder / "password").write_text("secret\n")
    return [
        *("--keystore", str(folder / "mine.json")),
        *("--password-file", str(folder / "password")),
    ]
