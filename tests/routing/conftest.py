import os
import random

import pytest


@pytest.fixture(scope="session")
def seed() -> int:
    """Fresh at each run and printed, or `ROUTING_SEED` to repeat one."""
    value = int(os.environ.get("ROUTING_SEED") or random.SystemRandom().randrange(2**32))
    print(f"ROUTING_SEED={value}")
    return value
