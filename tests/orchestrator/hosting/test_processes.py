"""What comes from an agent's process, whatever it is."""

import socket

import msgspec
import pytest

from toolkit.orchestrator.hosting.processes import _received
from toolkit.orchestrator.hosting.wire import HEADER_BYTES, Answered


async def test_an_answer_within_answers_is_not_read() -> None:
    """Lists within lists in a field that nobody asked for would exhaust the stack; the answer is
    one that cannot be read, as any other of the wrong shape."""
    theirs, ours = socket.socketpair()
    body = b'{"odd":' + b"[" * 40_000 + b"]" * 40_000 + b"}"
    with theirs, ours:
        ours.setblocking(False)
        theirs.sendall(len(body).to_bytes(HEADER_BYTES, "big") + body)

        with pytest.raises(msgspec.DecodeError, match="more than 500 lists within each other"):
            await _received(ours, Answered)
