// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @dev Not every token returns what `transfer` and `transferFrom` promise here: encode calls with
/// these, but never call them through this type.
interface IERC20 {
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
    function allowance(address account, address spender) external view returns (uint256);
}

interface IWrappedNative {
    function withdraw(uint256 amount) external;
}
