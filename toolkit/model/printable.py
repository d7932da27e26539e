"""Text of others as it may meet a terminal, a log or a page: one line, inert, of a bounded length.

Names, reasons, errors and symbols come from agents, nodes, relays and tokens. Raw, they could move
the cursor, ring, reverse the line they are in, or fill the screen.
"""

import re

LONGEST = 1_000
"""Characters of one line, its mark included."""

_SPACE = re.compile(r"\s+")

# Controls, what reverses the direction of writing or takes no room, and halves of characters
# (general categories Cc, Cf and Cs). Listed, because every Python has its own tables of Unicode,
# and some errors are journalled.
_ACTIVE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0001\U000e0020-\U000e007f]"
)


def printable(text: str, *, most: int = LONGEST) -> str:
    r"""Return `text` as one line of at most `most` characters that only shows.

    Line breaks and tabs become a space, other active characters are written as Python would,
    such as \x1b. A text that is cut says so, and how long it was. Doing it twice is doing it once,
    and every machine does the same.
    """
    if len(text) <= most and text.isprintable():
        return text
    one_line = _SPACE.sub(_plain_space, text[:most]).rstrip()
    shown = _ACTIVE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), one_line)
    if len(text) <= most and len(shown) <= most:
        return shown
    mark = f"… ({len(text)} characters)"
    return shown[: max(most - len(mark), 0)] + mark


def _plain_space(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else " "
