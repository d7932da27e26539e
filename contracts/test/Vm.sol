// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @dev The cheatcodes these tests use, and no others.
interface Vm {
    function prank(address sender) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function deal(address account, uint256 balance) external;
    function roll(uint256 number) external;
    function coinbase(address account) external;
    function expectRevert(bytes calldata data) external;
    function expectPartialRevert(bytes4 selector) external;
    function assume(bool condition) external pure;
    function snapshotState() external returns (uint256 id);
    function revertToState(uint256 id) external returns (bool);
    function createSelectFork(string calldata url) external returns (uint256 forkId);
    function envString(string calldata name) external view returns (string memory value);
}

Vm constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

/// @dev What a failed comparison reverts with, which forge prints decoded.
error Different(string what, uint256 expected, uint256 actual);

function equal(uint256 expected, uint256 actual, string memory what) pure {
    if (expected != actual) revert Different(what, expected, actual);
}

function equal(address expected, address actual, string memory what) pure {
    equal(uint160(expected), uint160(actual), what);
}

function equal(bool expected, bool actual, string memory what) pure {
    equal(expected ? 1 : 0, actual ? 1 : 0, what);
}

/// @dev Map any fuzzed number into [low, high].
function within(uint256 value, uint256 low, uint256 high) pure returns (uint256) {
    return low + value % (high - low + 1);
}

function named(string memory name) pure returns (address) {
    return address(uint160(uint256(keccak256(bytes(name)))));
}
