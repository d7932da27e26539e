"""What a contract said when it reverted."""

# https://docs.soliditylang.org/en/latest/control-structures.html (Error and Panic)
_ERROR_STRING = "08c379a0"
_PANIC = "4e487b71"
_PANICS = {
    0x00: "generic panic",
    0x01: "assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division or modulo by zero",
    0x21: "invalid enum value",
    0x22: "corrupt storage byte array",
    0x31: "pop of an empty array",
    0x32: "array index out of bounds",
    0x41: "out of memory",
    0x51: "call of an uninitialised function",
}
_WORD = 64
_SELECTOR = 8
_SHOWN = 256


def decode_revert(data: object) -> str:
    """Read revert data into one line; custom errors stay as their selector and arguments.

    Unlike an ABI decoder it never fails: whatever a contract returned, a line comes back.
    """
    text = data[2:].lower() if isinstance(data, str) and data.startswith("0x") else ""
    head, body = text[:_SELECTOR], text[_SELECTOR:]
    if not text:
        return "no reason given"
    try:
        if head == _ERROR_STRING:
            length = int(body[_WORD : 2 * _WORD], 16)
            message = bytes.fromhex(body[2 * _WORD : 2 * _WORD + 2 * length])
            return message.decode(errors="replace")[:_SHOWN]
        if head == _PANIC and len(body) == _WORD:
            code = int(body, 16)
            return f"panic 0x{code:02x}: {_PANICS.get(code, 'unknown')}"
    except ValueError:
        pass  # safe because the raw form below still shows what came back
    shown = body if len(body) <= _SHOWN else body[:_SHOWN] + "…"
    return f"custom error 0x{head}" + (f" with 0x{shown}" if shown else "")
