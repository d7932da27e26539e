"""Every family of pools has its place everywhere: what a new one has not yet, these tests name."""

from typing import get_args

import msgspec
import pytest

from toolkit.model.market import PoolKind
from toolkit.orchestrator.audit.memory import Market
from toolkit.orchestrator.hosting.wire import Asked
from toolkit.perception.perceived import Glimpse, Perceived
from toolkit.pools.formats import FORMATS
from toolkit.pools.snapshot import Pool

FAMILIES: tuple[type[msgspec.Struct], ...] = get_args(Pool)


def test_families_are_told_apart_by_their_tags() -> None:
    """Each has a tag of its own in the field "kind", so that a union of them can be decoded."""
    tags = [family.__struct_config__.tag for family in FAMILIES]

    assert {"kind"} == {family.__struct_config__.tag_field for family in FAMILIES}
    assert len(tags) == len(set(tags))


def test_every_kind_is_in_pools_files() -> None:
    """There is no kind that a pools file cannot hold."""
    assert {kind.value for kind in PoolKind} == set(FORMATS)


@pytest.mark.parametrize("record", [Asked, Glimpse, Market, Perceived], ids=lambda r: r.__name__)
def test_every_family_reaches_journals_and_workers(record: type[msgspec.Struct]) -> None:
    """What is journalled or sent has a field for each family, named by its tag; none is lost."""
    tags = {str(family.__struct_config__.tag) for family in FAMILIES}

    assert tags <= set(record.__struct_fields__)
