"""Contracts that ask a pool for a swap and take its answer back out of the callback.

Whoever pays for a swap has to be a contract. These two pay nothing: called by an account, they
call `target` with a payload (calldata: target, 32 bytes; payload) and return (success, what came
back); called back, they revert with amounts and the state that the swap has already stored. So
one `eth_call` tells everything, moves nothing, and needs no settlement.
"""

from toolkit.chain.hashing import selector

_OPCODES = {
    "SUB": 0x03,
    "EQ": 0x14,
    "ISZERO": 0x15,
    "SHL": 0x1B,
    "ORIGIN": 0x32,
    "CALLER": 0x33,
    "CALLDATALOAD": 0x35,
    "CALLDATASIZE": 0x36,
    "CALLDATACOPY": 0x37,
    "RETURNDATASIZE": 0x3D,
    "RETURNDATACOPY": 0x3E,
    "POP": 0x50,
    "MSTORE": 0x52,
    "JUMPI": 0x57,
    "GAS": 0x5A,
    "ADD": 0x01,
    "CALL": 0xF1,
    "RETURN": 0xF3,
    "STATICCALL": 0xFA,
    "REVERT": 0xFD,
}
_JUMPDEST, _PUSH2, _PUSH4 = 0x5B, 0x61, 0x63

_OUTER = """
outer:
    32 CALLDATASIZE SUB 32 0 CALLDATACOPY
    0 0 32 CALLDATASIZE SUB 0 0 0 CALLDATALOAD GAS CALL
    0 MSTORE
    RETURNDATASIZE 0 32 RETURNDATACOPY
    32 RETURNDATASIZE ADD 0 RETURN
"""
# uniswapV3SwapCallback(int256,int256,bytes): the two amounts, slot0's first two words, liquidity.
_V3 = f"""
    ORIGIN CALLER EQ @outer JUMPI
    64 4 0 CALLDATACOPY
    {selector("slot0()")} 224 SHL 256 MSTORE
    64 64 4 256 CALLER GAS STATICCALL POP
    {selector("liquidity()")} 224 SHL 256 MSTORE
    32 128 4 256 CALLER GAS STATICCALL POP
    160 0 REVERT
"""
# unlockCallback(bytes): the bytes are a storage slot and the calldata of `swap`; what comes back
# are the balance delta, offset and length, and four words of storage from that slot on.
_V4 = f"""
    ORIGIN CALLER EQ @outer JUMPI
    32 36 CALLDATALOAD SUB 100 0 CALLDATACOPY
    0 0 32 36 CALLDATALOAD SUB 0 0 CALLER GAS CALL
    ISZERO @failed JUMPI
    32 0 0 RETURNDATACOPY
    {selector("extsload(bytes32,uint256)")} 224 SHL 256 MSTORE
    68 CALLDATALOAD 260 MSTORE
    4 292 MSTORE
    192 32 68 256 CALLER GAS STATICCALL POP
    224 0 REVERT
failed:
    RETURNDATASIZE 0 0 RETURNDATACOPY
    RETURNDATASIZE 0 REVERT
"""
V3_ANSWER, V4_ANSWER = 160, 224  # bytes; a contract's own errors are shorter


def assemble(text: str) -> bytes:
    """Turn words into code: opcodes, numbers (pushed), 0x selectors, `label:` and `@label`."""
    code, labels, jumps = bytearray(), dict[str, int](), dict[int, str]()
    for word in text.split():
        if word.endswith(":"):
            labels[word[:-1]] = len(code)
            code.append(_JUMPDEST)
        elif word.startswith("@"):
            jumps[len(code) + 1] = word[1:]
            code += bytes((_PUSH2, 0, 0))
        elif word.startswith("0x"):
            code += bytes((_PUSH4,)) + bytes.fromhex(word[2:])
        elif word.isdecimal():
            code += bytes((_PUSH2,)) + int(word).to_bytes(2, "big")
        else:
            code.append(_OPCODES[word])
    for place, label in jumps.items():
        code[place : place + 2] = labels[label].to_bytes(2, "big")
    return bytes(code)


def creation(runtime: bytes) -> bytes:
    """Return the code that deploys a runtime."""
    header = bytes.fromhex(f"61{len(runtime):04x}80600a3d393df3")
    assert len(header) == 10
    return header + runtime


V3_ASKER = creation(assemble(_V3 + _OUTER))
V4_ASKER = creation(assemble(_V4 + _OUTER))
