"""What every test may ask for."""

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Tests that run behind a script's `&` would hand an ignored SIGINT on to the commands they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The recorded data: skip when absent, fail when absent and TOOLKIT_DATA_REQUIRED=1."""
    place = Path(os.environ.get("TOOLKIT_DATA") or ROOT.parent / "shared" / "data")
    if not place.is_dir():
        if os.environ.get("TOOLKIT_DATA_REQUIRED") == "1":
            pytest.fail(f"TOOLKIT_DATA_REQUIRED=1 but {place} does not exist")
        pytest.skip(f"no recorded data at {place} (set TOOLKIT_DATA)")
    return place
