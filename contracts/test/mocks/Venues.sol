// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {WeirdToken} from "./Tokens.sol";

interface IBorrower {
    function receiveFlashLoan(
        address[] calldata tokens,
        uint256[] calldata amounts,
        uint256[] calldata fees,
        bytes calldata data
    ) external;
    function uniswapV2Call(address sender, uint256 out0, uint256 out1, bytes calldata data) external;
    function uniswapV3FlashCallback(uint256 fee0, uint256 fee1, bytes calldata data) external;
    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata data) external;
}

abstract contract Venue {
    /// @dev Pay out and insist on it, whatever the token's habit.
    function _pay(address token, address to, uint256 amount) internal {
        uint256 before = WeirdToken(token).balanceOf(address(this));
        (bool succeeded,) = token.call(abi.encodeCall(WeirdToken.transfer, (to, amount)));
        uint256 left = WeirdToken(token).balanceOf(address(this));
        require(succeeded && left + amount == before, "venue cannot pay");
    }
}

/// @dev The rule of UniswapV2Pair.swap: pay out, call back, then check the product with the fee.
contract PairModel is Venue {
    address public immutable token0;
    address public immutable token1;
    uint256 public reserve0;
    uint256 public reserve1;

    constructor(address a, address b) {
        (token0, token1) = a < b ? (a, b) : (b, a);
    }

    function sync() public {
        reserve0 = WeirdToken(token0).balanceOf(address(this));
        reserve1 = WeirdToken(token1).balanceOf(address(this));
    }

    function quote(address tokenIn, uint256 amountIn) external view returns (uint256) {
        (uint256 r0, uint256 r1) = tokenIn == token0 ? (reserve0, reserve1) : (reserve1, reserve0);
        return amountIn * 997 * r1 / (r0 * 1000 + amountIn * 997);
    }

    function swap(uint256 out0, uint256 out1, address to, bytes calldata data) external {
        if (out0 != 0) _pay(token0, to, out0);
        if (out1 != 0) _pay(token1, to, out1);
        if (data.length != 0) IBorrower(to).uniswapV2Call(msg.sender, out0, out1, data);
        uint256 left0 = WeirdToken(token0).balanceOf(address(this));
        uint256 left1 = WeirdToken(token1).balanceOf(address(this));
        uint256 in0 = left0 > reserve0 - out0 ? left0 + out0 - reserve0 : 0;
        uint256 in1 = left1 > reserve1 - out1 ? left1 + out1 - reserve1 : 0;
        require(
            (left0 * 1000 - in0 * 3) * (left1 * 1000 - in1 * 3) >= reserve0 * reserve1 * 1_000_000,
            "UniswapV2: K"
        );
        sync();
    }
}

/// @dev A V3 pool with one endless range at a fixed price: pay out, call back, check the input.
contract PoolModel is Venue {
    address public immutable token0;
    address public immutable token1;
    uint256 public immutable fee; // parts per million
    uint256 public rate; // token1 per token0, 1e18

    constructor(address a, address b, uint256 fee_, uint256 rate_) {
        (token0, token1) = a < b ? (a, b) : (b, a);
        fee = fee_;
        rate = rate_;
    }

    function quote(address tokenIn, uint256 amountIn) public view returns (uint256) {
        uint256 net = amountIn - amountIn * fee / 1e6;
        return tokenIn == token0 ? net * rate / 1e18 : net * 1e18 / rate;
    }

    function swap(address to, bool zeroForOne, int256 amount, uint160, bytes calldata data)
        external
        returns (int256 delta0, int256 delta1)
    {
        uint256 amountIn = uint256(amount);
        (address tokenIn, address tokenOut) = zeroForOne ? (token0, token1) : (token1, token0);
        uint256 amountOut = quote(tokenIn, amountIn);
        (delta0, delta1) = zeroForOne ? (amount, -int256(amountOut)) : (-int256(amountOut), amount);
        _pay(tokenOut, to, amountOut);
        uint256 before = WeirdToken(tokenIn).balanceOf(address(this));
        IBorrower(msg.sender).uniswapV3SwapCallback(delta0, delta1, data);
        require(WeirdToken(tokenIn).balanceOf(address(this)) >= before + amountIn, "IIA");
    }

    function flash(address to, uint256 out0, uint256 out1, bytes calldata data) external {
        (address token, uint256 out) = out0 != 0 ? (token0, out0) : (token1, out1);
        uint256 due = (out * fee + 999_999) / 1e6;
        uint256 before = WeirdToken(token).balanceOf(address(this));
        _pay(token, to, out);
        (uint256 fee0, uint256 fee1) = out0 != 0 ? (due, uint256(0)) : (uint256(0), due);
        IBorrower(msg.sender).uniswapV3FlashCallback(fee0, fee1, data);
        require(WeirdToken(token).balanceOf(address(this)) >= before + due, "F0");
    }
}

/// @dev Balancer's vault as FlashLoans.sol has it; the fee was zero on mainnet, but need not be.
contract VaultModel is Venue {
    uint256 public fee; // parts per million

    function setFee(uint256 fee_) external {
        fee = fee_;
    }

    function flashLoan(
        address to,
        address[] calldata tokens,
        uint256[] calldata amounts,
        bytes calldata data
    ) external {
        uint256[] memory fees = new uint256[](1);
        fees[0] = amounts[0] * fee / 1e6;
        uint256 before = WeirdToken(tokens[0]).balanceOf(address(this));
        _pay(tokens[0], to, amounts[0]);
        IBorrower(to).receiveFlashLoan(tokens, amounts, fees, data);
        require(WeirdToken(tokens[0]).balanceOf(address(this)) >= before + fees[0], "BAL#515");
    }
}
