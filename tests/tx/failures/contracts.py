"""Code for accounts that refuse to be paid, or want much gas for it."""


def reverting(reason: str) -> str:
    """Runtime code that reverts whatever it is called with, with Error(reason)."""
    text = reason.encode()
    padded = text + bytes(-len(text) % 32)
    error = b"\x08\xc3\x79\xa0" + (32).to_bytes(32) + len(text).to_bytes(32) + padded
    size = len(error).to_bytes(2)
    # Copies the error behind these 15 bytes to memory, and reverts with it.
    code = b"\x61" + size + b"\x60\x0f\x60\x00\x39" + b"\x61" + size + b"\x60\x00\xfd" + b"\x00"
    assert len(code) == 15
    return "0x" + (code + error).hex()


def hungry(words: int) -> str:
    """Runtime code that touches so many words of memory: 3 gas each, and words² / 512."""
    at = (32 * words - 32).to_bytes(3)
    return "0x" + (b"\x60\x00\x62" + at + b"\x52\x00").hex()  # MSTORE(at, 0); STOP


ACCEPTING = "0x00"
