// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IPoolManager} from "../../src/interfaces/Venues.sol";
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
    function unlockCallback(bytes calldata data) external returns (bytes memory);
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
        uint256[] memory fees = new uint256[](tokens.length);
        uint256[] memory before = new uint256[](tokens.length);
        for (uint256 i = 0; i < tokens.length; ++i) {
            require(i == 0 || tokens[i - 1] < tokens[i], "BAL#101");
            fees[i] = amounts[i] * fee / 1e6;
            before[i] = WeirdToken(tokens[i]).balanceOf(address(this));
            _pay(tokens[i], to, amounts[i]);
        }
        IBorrower(to).receiveFlashLoan(tokens, amounts, fees, data);
        for (uint256 i = 0; i < tokens.length; ++i) {
            uint256 left = WeirdToken(tokens[i]).balanceOf(address(this));
            require(left >= before[i] + fees[i], "BAL#515");
        }
    }
}

/// @dev V4's manager as PoolManager.sol has it: one lock, debts by currency that must be settled by
/// its end, payments measured from the last `sync`. Its pools trade at fixed prices.
contract ManagerModel is Venue {
    bool internal unlocked;
    uint256 internal unsettled; // currencies with a debt, or with something due
    address internal synced;
    uint256 internal held;
    mapping(address currency => int256) internal due;
    mapping(bytes32 pool => uint256) public rates; // currency1 per currency0, 1e18

    function initialize(IPoolManager.PoolKey calldata key, uint256 rate) external {
        rates[keccak256(abi.encode(key))] = rate;
    }

    function quote(IPoolManager.PoolKey memory key, bool zeroForOne, uint256 amountIn)
        public
        view
        returns (uint256)
    {
        uint256 rate = rates[keccak256(abi.encode(key))];
        require(rate != 0, "PoolNotInitialized");
        uint256 net = amountIn - amountIn * (key.fee & 0x7FFFFF) / 1e6;
        return zeroForOne ? net * rate / 1e18 : net * 1e18 / rate;
    }

    function unlock(bytes calldata data) external returns (bytes memory answer) {
        require(!unlocked, "AlreadyUnlocked");
        unlocked = true;
        answer = IBorrower(msg.sender).unlockCallback(data);
        require(unsettled == 0, "CurrencyNotSettled");
        unlocked = false;
    }

    function swap(
        IPoolManager.PoolKey calldata key,
        IPoolManager.SwapParams calldata params,
        bytes calldata
    ) external returns (int256) {
        require(unlocked, "ManagerLocked");
        require(params.amountSpecified < 0, "no exact input");
        uint256 given = quote(key, params.zeroForOne, uint256(-params.amountSpecified));
        (int256 delta0, int256 delta1) = params.zeroForOne
            ? (params.amountSpecified, int256(given))
            : (int256(given), params.amountSpecified);
        _account(key.currency0, delta0);
        _account(key.currency1, delta1);
        return (delta0 << 128) | int256(uint256(uint128(int128(delta1))));
    }

    function sync(address currency) external {
        synced = currency;
        held = WeirdToken(currency).balanceOf(address(this));
    }

    function settle() external payable returns (uint256 paid) {
        require(unlocked, "ManagerLocked");
        paid = WeirdToken(synced).balanceOf(address(this)) - held;
        _account(synced, int256(paid));
        synced = address(0);
    }

    function take(address currency, address to, uint256 amount) external {
        require(unlocked, "ManagerLocked");
        _account(currency, -int256(amount));
        _pay(currency, to, amount);
    }

    function _account(address currency, int256 delta) internal {
        bool before = due[currency] != 0;
        due[currency] += delta;
        bool still = due[currency] != 0;
        if (still && !before) ++unsettled;
        if (before && !still) --unsettled;
    }
}
