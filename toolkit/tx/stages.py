"""Where a process may die between a request's acceptance and its receipt."""

from enum import Enum


class Stage(Enum):
    """One point on a request's way; what is durable, and what is out, changes between any two.

    A scheduler calls its `on_stage` at each, so a test that kills it there needs no list of its
    own: `list(Stage)` is the list.
    """

    CHECKED = "checked"  # preflight passed; nothing is written anywhere
    ACCEPTED = "accepted"  # the request is in the journal's memory
    SIGNED = "signed"  # bytes exist of which the journal does not know
    PREPARED = "prepared"  # the attempt is in the journal's memory
    DURABLE = "durable"  # all of it is on disk, nothing is out
    SENT = "sent"  # a destination has answered, nobody else knows
    ANSWERED = "answered"  # the answer is in the journal's memory
    ASKED = "asked"  # the author asked to cancel or to replace; nothing is written
    HEAD = "head"  # a new head is known, the chain was not asked what it brought
    LOOKED = "looked"  # the chain was asked, nothing is written
    OBSERVED = "observed"  # what the head brought is in the journal's memory
    ENDED = "ended"  # an end is in the journal's memory, its handle does not have it
    TOLD = "told"  # its handle has it, and tells it as soon as it is on disk
    CHECKPOINTED = "checkpointed"  # the fold of everything so far is in the journal's memory


def unwatched(_: Stage) -> None:
    """Nobody watches."""
