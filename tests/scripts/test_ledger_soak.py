"""The soak of the ledger counts what it says, and notices a unit that is lost."""

import random
from collections.abc import Iterable

import pytest

from scripts.soak.ledger import KINDS_TOLD, life
from toolkit.model.chain import Hash
from toolkit.orchestrator.capital.ledger import Ledger


def test_a_short_life_adds_up_and_has_everything_in_it() -> None:
    """Some hundred fills hold whole, partial, reverted, missed, undone and doubled ones."""
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}")

    counts, failures = life((seed, 500))

    assert () == failures
    assert set(KINDS_TOLD) < set(counts)
    assert 500 == sum(counts[kind] for kind in ("whole", "partial", "reverted", "missed"))


def test_a_ledger_that_keeps_reverted_fills_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fills that a reorg took back and the books kept make the sums differ."""
    revert = Ledger.revert

    def forgetful(ledger: Ledger, blocks: Iterable[Hash]) -> tuple[str, ...]:
        memory = ledger.memory()
        undone = revert(ledger, blocks)
        ledger.__init__()  # type: ignore[misc]
        ledger.resume(memory)
        return undone

    monkeypatch.setattr(Ledger, "revert", forgetful)

    _, failures = life((1, 500))

    assert 1 == len(failures)
