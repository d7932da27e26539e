"""Random lives of a small pool: whatever comes, what it holds and what it says stay consistent."""

import random
from collections import Counter
from dataclasses import dataclass, field

import msgspec
import pytest

from tests.devnet.pool_world import CHAIN, GWEI, World, replace_chain, replace_state
from toolkit.devnet.mempool import (
    AccountState,
    Added,
    PooledTransaction,
    PoolRefusal,
    Reason,
)
from toolkit.devnet.pool_rules import PROFILES, PoolRules
from toolkit.model.chain import Address, Hash
from toolkit.model.tx import bumped

SEQUENCES = 240
STEPS = 60
SENDERS = tuple(Address(f"0x{index:040x}") for index in range(1, 6))


def cramped(rules: PoolRules) -> PoolRules:
    """The same rules with limits that a short sequence reaches."""
    sizes = {"global_slots": 9, "guaranteed_slots": 2, "account_queue": 3, "global_queue": 5}
    if rules.has_subpools:
        sizes |= {"subpool_slots": 6, "account_slots": 6}
    return msgspec.structs.replace(rules, lifetime_blocks=6, blob_account_slots=4, **sizes)


@dataclass
class Life:
    """One random sequence, and beside the pool a list of what has to be in it."""

    rules: PoolRules
    dice: random.Random
    world: World = field(init=False)
    states: dict[Address, AccountState] = field(default_factory=dict)
    held: set[Hash] = field(default_factory=set)
    blocks: list[tuple[PooledTransaction, ...]] = field(default_factory=list)
    refused: Counter[Reason] = field(default_factory=Counter)
    demoted: bool = False  # by hand: limits are enforced with the next head, as in geth

    def __post_init__(self) -> None:
        self.world = World(self.rules)
        self.states = {each: AccountState(nonce=0, balance_wei=10**19) for each in SENDERS}

    def step(self) -> None:
        action = self.dice.choices(
            (self.send, self.seal, self.reorg, self.remove, self.restart),
            weights=(60, 14, 5, 5, 1),
        )[0]
        action()
        self.check()

    def transaction(self) -> PooledTransaction:
        dice, sender = self.dice, self.dice.choice(SENDERS)
        base = self.states[sender].nonce
        fields: dict[str, object] = {
            "sender": sender,
            "tip_cap": dice.choice((1, 7, 10, 20, GWEI, 2 * GWEI, 3 * GWEI)),
            "fee_cap": dice.choice((20, GWEI // 2, 2 * GWEI, 9 * GWEI, 30 * GWEI)),
            "value": dice.choice((0, 1, 10**18, 4 * 10**18)),
            "size": dice.choice((110, 110, 40_000)),
            "chain_id": CHAIN.chain_id,
        }
        kind = dice.random()
        nonce = max(0, base + dice.choice((-1, 0, 0, 0, 1, 1, 2, 3, 5)))
        if kind < 0.12:
            return self.world.blob(nonce, **fields, blob_fee_cap=dice.choice((1, 5, 50)))
        if kind < 0.24:
            grants = tuple(dice.sample(SENDERS, k=dice.randint(1, 2)))
            fields |= {"gas": 80_000, "authorizations": len(grants), "authorities": grants}
            return self.world.tx(nonce, **fields, type=4)
        return self.world.tx(nonce, **fields)

    def send(self) -> None:
        tx = self.transaction()
        try:
            added = self.world.pool.add(tx, self.states[tx.sender])
        except PoolRefusal as refused:
            self.refused[refused.reason] += 1
        else:
            self.held |= {tx.hash}
            self.held -= {added.replaced, *added.evicted}

    def seal(self) -> None:
        """Mine a random part of the candidates, and now and then change an account."""
        base_fee = self.world.pool.chain.base_fee_wei
        mined: list[PooledTransaction] = []
        for tx in self.world.pool.candidates(base_fee):
            state = self.states[tx.sender]
            if tx.nonce == state.nonce and self.dice.random() < 0.7:
                self.states[tx.sender] = AccountState(
                    nonce=state.nonce + 1,
                    balance_wei=state.balance_wei - tx.worst_cost_wei,
                    delegated=state.delegated,
                )
                mined.append(tx)
        self.blocks.append(tuple(mined))
        self.shake()
        self.follow(mined=mined)

    def shake(self) -> None:
        sender = self.dice.choice(SENDERS)
        changes: dict[str, object] = {}
        luck = self.dice.random()
        if luck < 0.2:
            changes["balance_wei"] = self.dice.choice((0, 10**15, 10**18, 10**19))
        elif luck < 0.3:
            changes["nonce"] = self.states[sender].nonce + 1
        elif luck < 0.4:
            changes["delegated"] = self.dice.random() < 0.3
        self.states[sender] = replace_state(self.states[sender], **changes)

    def reorg(self) -> None:
        """Take the last block back, and mine nothing of it or the first of it."""
        if not self.blocks:
            return
        block = self.blocks.pop()
        again = block[: self.dice.randint(0, 1)]
        for tx in reversed(block):
            state = self.states[tx.sender]
            if tx not in again and state.nonce == tx.nonce + 1:
                self.states[tx.sender] = replace_state(
                    state, nonce=tx.nonce, balance_wei=state.balance_wei + tx.worst_cost_wei
                )
        self.follow(mined=again, returned=block)

    def follow(
        self,
        *,
        mined: list[PooledTransaction] | tuple[PooledTransaction, ...],
        returned: tuple[PooledTransaction, ...] = (),
    ) -> None:
        chain = replace_chain(
            number=self.world.pool.chain.number + 1 - 2 * bool(returned),
            base_fee_wei=self.dice.choice((10, GWEI, 3 * GWEI)),
            blob_base_fee_wei=self.dice.choice((1, 3, 10)),
            gas_limit=self.dice.choice((36_000_000, 36_000_000, 70_000)),
        )
        hashes = {each.hash for each in mined}
        self.held = (self.held | {each.hash for each in returned}) - hashes
        dropped = self.world.pool.advance(chain, self.states, mined=hashes, returned=returned)
        self.demoted = False
        assert len(set(dropped)) == len(dropped)
        self.held -= set(dropped)

    def remove(self) -> None:
        if self.held:
            tx_hash = self.dice.choice(sorted(self.held))
            assert self.world.pool.remove(tx_hash) is not None
            self.held.remove(tx_hash)
            self.demoted = True

    def restart(self) -> None:
        assert self.held == set(self.world.pool.clear())
        self.held = set()

    def check(self) -> None:
        pool = self.world.pool
        pending, queued = pool.pending(), pool.queued()
        everything = pending + queued

        assert self.held == {each.hash for each in everything}
        assert len(everything) == len(pool)
        assert all(pool.get(each.hash) is each for each in everything)
        assert (len(pending), len(queued)) == (pool.status().pending, pool.status().queued)
        places = {(each.sender, each.nonce) for each in everything}
        assert len(places) == len(everything)
        for sender in SENDERS:
            self.check_sender(sender)
        if not self.demoted:
            self.check_limits(pending, queued)
        self.check_candidates()
        contents = pool._contents
        assert contents.slots == sum(-(-t.size // 32_768) for t in everything if not t.is_blob)
        assert contents.grants == Counter(a for each in everything for a in each.authorities)

    def check_sender(self, sender: Address) -> None:
        pool, state = self.world.pool, self.states[sender]
        pending, queued = pool.pending(sender), pool.queued(sender)
        assert [each.nonce for each in pending] == list(
            range(state.nonce, state.nonce + len(pending))
        )
        assert all(each.nonce >= state.nonce for each in queued)
        assert len({each.is_blob for each in pending + queued}) <= 1
        assert pool.pending_nonce(sender, state.nonce) >= state.nonce + len(pending)
        if self.rules.has_subpools:
            chain = pool.chain
            assert sum(each.worst_cost_wei for each in pending) <= state.balance_wei
            assert all(each.fee_cap >= chain.base_fee_wei for each in pending)
        else:
            assert all(each.worst_cost_wei <= state.balance_wei for each in pending + queued)

    def check_limits(
        self, pending: tuple[PooledTransaction, ...], queued: tuple[PooledTransaction, ...]
    ) -> None:
        rules = self.rules
        if rules.subpool_slots is not None:
            plain = [each for each in pending if not each.is_blob]
            assert len(plain) <= rules.subpool_slots
            assert len([each for each in queued if not each.is_blob]) <= 2 * rules.subpool_slots
            return
        waiting = Counter(each.sender for each in queued)
        executable = Counter(each.sender for each in pending if not each.is_blob)
        assert all(count <= rules.account_queue for count in waiting.values())
        assert len(queued) <= rules.global_queue
        assert not any(each.is_blob for each in queued)
        if sum(executable.values()) > rules.global_slots:
            assert all(count <= rules.guaranteed_slots for count in executable.values())

    def check_candidates(self) -> None:
        """Execute them in the order they come, each at its worst cost."""
        pool, chain, states = self.world.pool, self.world.pool.chain, dict(self.states)
        for tx in pool.candidates(chain.base_fee_wei):
            state = states[tx.sender]
            assert tx.nonce == state.nonce
            assert tx.fee_cap >= chain.base_fee_wei
            assert tx.gas <= chain.gas_limit
            assert not tx.is_blob or tx.blob_fee_cap >= chain.blob_base_fee_wei
            assert tx.worst_cost_wei <= state.balance_wei
            states[tx.sender] = AccountState(
                nonce=state.nonce + 1, balance_wei=state.balance_wei - tx.worst_cost_wei
            )


@pytest.mark.parametrize("name", list(PROFILES))
def test_random_lives_keep_the_pool_consistent(name: str) -> None:
    """Contiguous, within its limits, one per nonce, funded, and nothing leaves unannounced."""
    first = random.SystemRandom().randrange(2**32)
    print(f"seeds {first} to {first + SEQUENCES - 1}")
    refused: Counter[Reason] = Counter()
    for seed in range(first, first + SEQUENCES):
        life = Life(cramped(PROFILES[name]), random.Random(seed))
        for _ in range(STEPS):
            try:
                life.step()
            except AssertionError as error:
                raise AssertionError(f"seed {seed}") from error
        refused += life.refused

    assert {Reason.REPLACEMENT, Reason.OTHER_TYPE_POOLED, Reason.DELEGATED_LIMIT} <= set(refused)


def test_a_seed_is_a_life() -> None:
    """The same seed and the same rules give the same pool, transaction by transaction."""

    def live(seed: int) -> tuple[Hash, ...]:
        life = Life(cramped(PROFILES["geth"]), random.Random(seed))
        for _ in range(STEPS):
            life.step()
        return tuple(each.hash for each in life.world.pool.pending() + life.world.pool.queued())

    assert live(11) == live(11)


@pytest.mark.parametrize("name", list(PROFILES))
def test_the_toolkits_bump_is_accepted(name: str) -> None:
    """What `bumped` makes of both fees replaces under every profile, wei-level fees included."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice, rules = random.Random(seed), PROFILES[name]
    least = max(1, rules.minimum_fee_cap_wei)
    wei_level = [(cap, tip) for cap in range(least, 21) for tip in range(1, cap + 1)]
    usual = [
        (cap, dice.randint(1, cap))
        for cap in (dice.randrange(least, 10 ** dice.randint(2, 12)) for _ in range(400))
    ]
    for cap, tip in wei_level + usual:
        world = World(rules, replace_chain(base_fee_wei=7))
        old = world.send(fee_cap=cap, tip_cap=tip, value=0)
        added = world.add(world.tx(fee_cap=bumped(cap), tip_cap=bumped(tip), value=0))

        assert Added(replaced=old.hash) == added, f"seed {seed}: cap {cap}, tip {tip}"
