"""The soak of killed processes that go private first, at its smallest."""

import pytest

from scripts.soak.bundle_kill import PAYMENTS, errand


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_what_was_killed_goes_on_and_pays_once() -> None:
    """A process that is killed in the middle leaves nothing undone, early, twice or behind."""
    wrongs, counts = await errand(5, kills=2)

    assert [] == wrongs
    assert (PAYMENTS, 1) == (counts["payments"], counts["ended"])
