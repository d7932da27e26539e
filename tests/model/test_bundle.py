import pytest

from toolkit.model.bundle import Bundle, Refund
from toolkit.model.chain import Hash
from toolkit.model.errors import ConfigError


@pytest.mark.parametrize("percent", [0, 100, -1, True, "90", 1.5])
def test_refund_is_a_whole_percentage_below_all(percent: object) -> None:
    """Nothing, all, and what is no integer are refused with the value that was given."""
    with pytest.raises(ConfigError, match="refund of"):
        Refund(percent=percent)  # type: ignore[arg-type]


def test_bundle_hides_its_transactions() -> None:
    """A bundle is shown by its block and hashes, whatever else it asks for."""
    bundle = Bundle(
        transactions=("0x02f8abcdef",),
        hashes=(Hash("0x" + "ab" * 32),),
        target_block=7,
        refund=Refund(percent=90),
        builders=("titan",),
    )

    assert "02f8abcdef" not in repr(bundle)
    assert "block=7" in repr(bundle)
