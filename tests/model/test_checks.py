"""What is looked at before anything is made of it."""

import json
import random
import secrets

import pytest

from toolkit.model import checks
from toolkit.model.checks import DEEPEST, is_deep

LEAVES = [
    "1",
    "null",
    '""',
    '"a"',
    '"["',
    '"]"',
    '"{}"',
    '"\\\\"',
    '"\\""',
    '"[\\\\\\"]"',
    '"\\n["',
]


def _document(rng: random.Random, most: int) -> str:
    kind = rng.random() if most else 0.0
    if kind < 0.3:
        return rng.choice(LEAVES)
    inner = [_document(rng, most - 1) for _ in range(rng.randrange(4))]
    if kind < 0.7:
        return f"[{','.join(inner)}]"
    named = [f'"k{number}[":{one}' for number, one in enumerate(inner)]
    return "{" + ",".join(named) + "}"


def _depth(value: object) -> int:
    if not isinstance(value, list | dict):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(_depth, inner), default=0)


def test_depth_is_told_as_the_parser_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two thousand drawn documents with brackets, quotes and escapes in their strings; and no
    part that somebody cut off hides how deep it went."""
    monkeypatch.setattr(checks, "DEEPEST", 3)
    seed = secrets.randbits(32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(2_000):
        document = _document(rng, rng.randrange(1, 8))

        depth = _depth(json.loads(document))
        assert (depth > 3) is is_deep(document), document
        assert is_deep("[" * 3 + document + "]" * 3) is (depth > 0), document
        assert is_deep("[" * 4 + document[: rng.randrange(len(document))])


@pytest.mark.parametrize(
    ("document", "deep"),
    [
        (b"[" * DEEPEST + b"]" * DEEPEST, False),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), True),
        (b'{"a":[' * 60_000, True),
        (b'["]",' * 99_000, True),
        (b"[" + b"{}," * 99_000 + b"{}]", False),
        (b'["' + b"[" * 99_000 + b'"]', False),
        ('["' + "\N{BULLET}[" * 99_000 + '"]', False),
        ("\udcff" + "[" * 99_000, True),
    ],
)
def test_the_deepest_that_is_read(document: bytes | str, *, deep: bool) -> None:
    """Five hundred levels; wide ones and brackets in strings are none."""
    assert deep is is_deep(document)
