// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @dev v2-core UniswapV2Pair.sol
interface IUniswapV2Pair {
    function token0() external view returns (address);
    function swap(uint256 out0, uint256 out1, address to, bytes calldata data) external;
}

/// @dev v3-core UniswapV3Pool.sol
interface IUniswapV3Pool {
    function token0() external view returns (address);
    function swap(
        address recipient,
        bool zeroForOne,
        int256 amountSpecified,
        uint160 sqrtPriceLimitX96,
        bytes calldata data
    ) external returns (int256 delta0, int256 delta1);
    function flash(address recipient, uint256 out0, uint256 out1, bytes calldata data) external;
}

/// @dev Balancer V2 Vault, FlashLoans.sol
interface IBalancerVault {
    function flashLoan(
        address recipient,
        address[] calldata tokens,
        uint256[] calldata amounts,
        bytes calldata data
    ) external;
}
