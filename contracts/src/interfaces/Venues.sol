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

/// @dev v4-core PoolManager.sol, with PoolKey.sol and PoolOperation.sol
interface IPoolManager {
    struct PoolKey {
        address currency0;
        address currency1;
        uint24 fee;
        int24 tickSpacing;
        address hooks;
    }

    struct SwapParams {
        bool zeroForOne;
        int256 amountSpecified; // below zero: exactly this input
        uint160 sqrtPriceLimitX96;
    }

    function unlock(bytes calldata data) external returns (bytes memory answer);
    /// @return delta what the caller is due of currency0 (the upper 128 bits) and of currency1
    function swap(PoolKey calldata key, SwapParams calldata params, bytes calldata hookData)
        external
        returns (int256 delta);
    function sync(address currency) external;
    function settle() external payable returns (uint256 paid);
    function take(address currency, address to, uint256 amount) external;
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
