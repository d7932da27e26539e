"""A chain of one account, small enough for a state machine: blocks of (nonce, hash) and rivals."""

from collections.abc import Callable, Sequence

import msgspec

from tests.tx.bench import ETHER, ME, quotes
from toolkit.model.chain import Hash
from toolkit.model.tx import SignedTransaction
from toolkit.tx.events import Mined, Observed, Spender
from toolkit.tx.lane import LaneState


class Spent(msgspec.Struct, frozen=True):
    """One mined transaction; `ours` is None for a stranger's."""

    tx_hash: Hash
    ours: SignedTransaction | None
    same_payload: bool = False


class SmallChain:
    """Everything ever handed out may be mined by somebody, as long as its nonce is next."""

    def __init__(self, block: int) -> None:
        self.base = block
        self.blocks: list[tuple[Hash, list[Spent]]] = []
        self.out: dict[int, dict[Hash, SignedTransaction]] = {}
        self._made = 0

    @property
    def number(self) -> int:
        return self.base + len(self.blocks)

    @property
    def nonce(self) -> int:
        return sum(len(spent) for _, spent in self.blocks)

    def mined(self) -> dict[Hash, int]:
        """Block number of everything on the chain."""
        return {
            one.tx_hash: self.base + 1 + index
            for index, (_, spent) in enumerate(self.blocks)
            for one in spent
        }

    def hand_over(self, signed: SignedTransaction) -> None:
        self.out.setdefault(signed.unsigned.nonce, {})[signed.hash] = signed

    def mine(self, most: int, pick: Callable[[Sequence[SignedTransaction]], int]) -> None:
        """Seal a block with up to so many of what is out, in order of nonce."""
        nonce = self.nonce
        spent: list[Spent] = []
        while len(spent) < most and self.out.get(nonce):
            choice = list(self.out[nonce].values())
            chosen = choice[pick(choice)]
            spent.append(Spent(chosen.hash, chosen))
            nonce += 1
        self.blocks.append((self._hash(), spent))

    def spend_outside(self, *, same_payload: bool) -> None:
        self.blocks.append((self._hash(), [Spent(self._hash(), None, same_payload)]))

    def take_back(self, depth: int) -> None:
        del self.blocks[max(0, len(self.blocks) - depth) :]

    def observed(
        self, state: LaneState, *, reorged: bool, silent: bool = False, delegated: bool = False
    ) -> Observed:
        """What a node tells of this head; a silent one has neither receipts nor names."""
        receipts: list[Mined] = []
        spenders: list[Spender] = []
        spent = [
            (one, self.base + 1 + index, block_hash)
            for index, (block_hash, content) in enumerate(self.blocks)
            for one in content
        ]
        asked = [] if silent else state.questions(self.nonce, reorged=reorged)
        for job in asked:
            if job.nonce is None or job.nonce >= len(spent):
                continue
            one, number, block_hash = spent[job.nonce]
            if one.tx_hash in job.hashes():
                receipts.append(
                    Mined(
                        tx_hash=one.tx_hash,
                        block_number=number,
                        block_hash=block_hash,
                        succeeded=True,
                        gas_used=21_000,
                        fee_wei=1,
                    )
                )
            else:
                spenders.append(
                    Spender(
                        nonce=job.nonce,
                        by=one.tx_hash,
                        block_number=number,
                        same_payload=one.same_payload,
                    )
                )
        return Observed(
            lane=ME,
            block=self.number,
            nonce=self.nonce,
            balance_wei=ETHER,
            quotes=quotes(20 + self.number % 7 * 15),
            receipts=tuple(receipts),
            spenders=tuple(spenders),
            reorged=reorged,
            delegated=delegated,
        )

    def _hash(self) -> Hash:
        self._made += 1
        return Hash(f"0x{self._made:064x}")
