"""What a lane knows is a plain value: it can be written down and read back."""

import msgspec
import pytest

from tests.tx.bench import LIMITS, ME, STRANGER, Bench
from toolkit.model.chain import Address
from toolkit.model.errors import Recovery
from toolkit.model.tx import Authorization, Exposure, TransactionRequest
from toolkit.tx.events import KINDS, CancelAsked, Event, LaneLimits, Spender
from toolkit.tx.lane import LaneState, step


def _eventful() -> Bench:
    """A lane with something in every field."""
    grant = Authorization(chain_id=1, address=ME, nonce=0, y_parity=1, r=2**255, s=1)
    bench = Bench(msgspec.structs.replace(LIMITS, max_in_flight=5))
    bench.observe(10, balance_wei=2**100)
    bench.accept("mined")
    bench.accept("spent", requeue=True)
    bench.accept("set code", type=4, authorization_list=(grant,), deadline_block=40)
    bench.accept("refused", priority=3)
    bench.accept("private", destinations=("relay", "public"), value=2**80)
    for name in ("queued", "cancelled"):
        bench.accept(name, priority=1)
    bench.accept("parked", after="mined")
    bench.answer("set code")
    bench.answer("refused", Exposure.NONE, Recovery.WAIT, refusal="AlreadyReserved")
    bench.answer("private", Exposure.PRIVATE, destination="relay")
    bench.replace("set code", TransactionRequest(to=ME, gas=30_000), gwei=40)
    bench.lease("bundle", target_block=12)
    bench.do(CancelAsked(lane=ME, request_id="set code"))
    stranger = Spender(nonce=1, by=STRANGER, block_number=11)
    bench.observe(11, nonce=2, receipts=(bench.mined("mined", 11),), spenders=(stranger,))
    return bench


def test_a_state_survives_being_written_down() -> None:
    """Every field, integers beyond 64 bits and keyed dictionaries included."""
    bench = _eventful()
    plain = {"settled_nonce", "delegated", "halted", "bundled_nonce", "bundled_block", "fallen"}
    plain |= {"first_lives", "fill_floor"}
    empty = [name for name in LaneState.__struct_fields__ if not getattr(bench.state, name)]
    text = msgspec.json.encode(bench.state)

    assert bench.state == msgspec.json.decode(text, type=LaneState)
    assert plain == set(empty)


def test_a_state_read_back_goes_on_as_the_one_that_was_written() -> None:
    """Indexes and jobs are the same to every later event."""
    bench = _eventful()
    again = msgspec.json.decode(msgspec.json.encode(bench.state), type=LaneState)
    event = bench.observed(20, nonce=3, gwei=90)

    assert step(bench.state, event) == step(again, event)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_old_journals_stay_readable(kind: str) -> None:
    """Every field that was added to an event since the first journal has a default."""
    first: dict[str, set[str]] = {
        "tx.opened": {"lane", "chain_id", "limits", "anchor_block", "anchor_hash"},
        "tx.request": {
            *("lane", "request_id", "request", "urgency", "deadline_block"),
            *("destinations", "quote", "balance_wei"),
        },
        "tx.prepared": {"lane", "request_id", "signed"},
        "tx.signing_failed": {"lane", "request_id", "message"},
        "tx.answer": {"lane", "request_id", "tx_hash", "destination", "exposure"},
        "tx.cancel": {"lane", "request_id"},
        "tx.observed": {"lane", "block", "nonce", "balance_wei", "quotes"},
        "tx.lease": {"lane", "lease_id", "target_block", "signed"},
        "tx.lease_settled": {"lane", "lease_id", "landed"},
    }
    event: type[Event] = KINDS[kind]
    required = {field.name for field in msgspec.structs.fields(event) if field.required}

    assert first.get(kind, required) == required


def test_memory_is_longer_than_finality() -> None:
    """What may still be taken back is never forgotten, however the limits are set."""
    short = LaneLimits(max_cost_wei=1, finality_blocks=100, keep_blocks=10)

    assert (101, 64 + 1) == (short.watch_blocks, LaneLimits(max_cost_wei=1).watch_blocks)


def test_an_event_of_one_request_leaves_the_others_untouched() -> None:
    """A step shares everything that it does not change with the state it was given."""
    bench = Bench()
    for number in range(50):
        bench.accept(f"r{number}")
    before = bench.state
    bench.answer("r1")

    assert before.queue is bench.state.queue
    assert before.slots is bench.state.slots
    changed = [name for name in before.jobs if before.jobs[name] is not bench.state.jobs[name]]
    assert ["r1"] == changed
    assert Address(ME) == bench.state.lane


def test_no_step_changes_the_state_that_it_was_given() -> None:
    """Landing, reorg, requeue and forgetting write to copies only."""
    bench = _eventful()
    for block, nonce, reorged in ((12, 3, False), (13, 0, True), (14, 2, False), (100, 5, False)):
        mined = (bench.mined("mined", block),) if nonce else ()
        event = bench.observed(block, nonce=nonce, reorged=reorged, receipts=mined)
        before = bench.state
        text = msgspec.json.encode(before)
        bench.do(event)

        assert text == msgspec.json.encode(before)
        assert before != bench.state
