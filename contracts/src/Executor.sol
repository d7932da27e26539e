// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {IERC20, IWrappedNative} from "./interfaces/Tokens.sol";
import {
    IBalancerVault,
    IPoolManager,
    IUniswapV2Pair,
    IUniswapV3Pool
} from "./interfaces/Venues.sol";

/// @notice Runs one route over Uniswap V2, V3 and V4 pools for its owner, with borrowed or own input,
/// or several routes with own input at once, and reverts as a whole unless the result is at least
/// what the plan or batch asks for. A route is any list of hops: a chain, a split, a network.
/// @dev Holds nothing between transactions and never approves anyone. What it does hold during one
/// is protected in a single place, the end of `execute` and of `executeBatch`: the gain is measured
/// from balances, on the original calldata, after every foreign contract has had its turn.
contract Executor {
    /*//////////////////////////////////////////////////////////////
                                 ERRORS
    //////////////////////////////////////////////////////////////*/

    /// @dev The caller is not the account that deployed this contract.
    error NotOwner();
    /// @dev The plan is for another block: a leaked or late transaction.
    error WrongBlock(uint256 got, uint256 want);
    /// @dev The plan was computed on another parent: a reorg or a leaked transaction.
    error WrongParent(bytes32 got, bytes32 want);
    /// @dev A hop gave less than the plan says; for an input above int256, `got` is zero.
    error HopShort(uint256 index, uint256 got, uint256 want);
    /// @dev A hop's kind is neither V2, V3 nor V4.
    error BadHop(uint256 index, uint256 kind);
    /// @dev The net result is below the plan's minimum; a loss shows as `got` zero.
    error ProfitTooLow(uint256 got, uint256 want);
    /// @dev A batch leaves less of a token than its minimum; a loss shows as `got` zero.
    error AssetShort(address token, uint256 got, uint256 want);
    /// @dev Called, or paid native token, by a contract that was not asked to do so now.
    error UnexpectedCallback(address caller);
    /// @dev Neither the value sent along nor wrapped native token at hand covers the tip.
    error TipUnfunded(uint256 have, uint256 want);
    /// @dev The owner's allowance exceeds the input and that was not permitted.
    error UnlimitedAllowance(address token);
    /// @dev The owner's allowance is below the input.
    error AllowanceNotExact(address token, uint256 have, uint256 want);
    /// @dev A transfer failed, returned false, took a fee, or `token` (zero: native) has no code.
    error TransferFailed(address token);
    /// @dev No such source of funds.
    error BadFunding(uint8 funding);

    /*//////////////////////////////////////////////////////////////
                                  TYPES
    //////////////////////////////////////////////////////////////*/

    struct Hop {
        address pool; // of V4: the PoolManager
        uint256 kind; // of V4 also the pool's key: kind | fee << 8 | tickSpacing << 32 | hooks << 56
        address tokenIn;
        address tokenOut;
        uint256 amountIn;
        uint256 amountOut;
    }

    /// @dev What a Balancer vault lends of a token; loans are listed by rising token.
    struct Loan {
        address token;
        uint256 amount;
    }

    struct Plan {
        uint256 blockNumber; // 0: any
        bytes32 parentHash; // 0: any
        uint8 funding;
        address lender; // ignored for own capital without loans
        address tokenIn;
        uint256 amountIn;
        address tokenOut;
        uint256 minOut; // of tokenOut for the owner, after repayment and a tip taken from it
        uint256 tip; // wei to block.coinbase
        Hop[] hops;
        // For routes that spend what a later hop brings: all that is borrowed, of a vault, the input
        // among it if that is borrowed too. Empty: at most the input is.
        Loan[] loans;
    }

    /// @dev A token of a batch, listed once: what it takes from the owner, and the least it returns.
    struct Asset {
        address token;
        uint256 pull;
        uint256 minimum;
    }

    /// @dev Several routes with own capital, one after the other. Between them tokens are common: one
    /// may spend what another has just bought.
    struct Batch {
        uint256 blockNumber; // 0: any
        bytes32 parentHash; // 0: any
        uint256 tip; // wei to block.coinbase, sent along
        Asset[] assets; // every token that a hop touches
        Hop[] hops;
    }

    /*//////////////////////////////////////////////////////////////
                                CONSTANTS
    //////////////////////////////////////////////////////////////*/

    uint8 internal constant FUNDING_OWN = 0;
    uint8 internal constant FUNDING_BALANCER = 1;
    uint8 internal constant FUNDING_V2 = 2;
    uint8 internal constant FUNDING_V3 = 3;

    uint256 internal constant HOP_V2 = 0;
    uint256 internal constant HOP_V3 = 1;
    uint8 internal constant HOP_V4 = 2;

    /// @dev One inside TickMath.MIN_SQRT_RATIO and MAX_SQRT_RATIO of v3-core, which are v4-core's
    /// too: no price limit.
    uint160 internal constant LOWEST_PRICE = 4295128740;
    uint160 internal constant HIGHEST_PRICE = 1461446703485210103287273052203988822378723970341;

    /*//////////////////////////////////////////////////////////////
                                 STORAGE
    //////////////////////////////////////////////////////////////*/

    /// @notice The only account that can use this contract, and the only one it ever pays out to.
    address public immutable owner;
    /// @notice The wrapped native token, unwrapped to pay tips.
    address public immutable WETH;

    /// @notice Whether an allowance above a plan's input is accepted; false unless the owner says so.
    bool public unlimitedAllowance;

    /// @dev The one callback that may come now: its selector and the contract being called, zero
    /// when none. Used up by the callback, so that each call out authorises at most one call in.
    bytes32 private transient _expected;

    /*//////////////////////////////////////////////////////////////
                               CONSTRUCTOR
    //////////////////////////////////////////////////////////////*/

    constructor(address weth) {
        owner = msg.sender;
        WETH = weth;
    }

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner();
        _;
    }

    /// @dev Only unwrapping pays in here; a stray payment is refused rather than kept.
    receive() external payable {
        if (msg.sender != WETH) revert UnexpectedCallback(msg.sender);
    }

    /*//////////////////////////////////////////////////////////////
                                  OWNER
    //////////////////////////////////////////////////////////////*/

    /// @notice Fund, run and settle a plan, or revert with nothing changed.
    function execute(Plan calldata plan) external payable onlyOwner {
        _guard(plan.blockNumber, plan.parentHash);
        uint256 before = IERC20(plan.tokenOut).balanceOf(address(this));
        if (plan.funding == FUNDING_OWN) {
            _pullExactly(plan.tokenIn, plan.amountIn);
            if (plan.loans.length == 0) _run(plan.hops);
            else _borrowFromVault(plan);
            // A cycle must return its own capital before it has gained anything.
            if (plan.tokenIn == plan.tokenOut) before += plan.amountIn;
        } else {
            _borrow(plan);
        }
        _settle(plan, before);
    }

    /// @notice Pull each asset's input, run all hops, and return every asset with at least its
    /// minimum, or revert with nothing changed.
    /// @dev The tip must be sent along: unlike a cycle's, it cannot come out of a profit.
    function executeBatch(Batch calldata batch) external payable onlyOwner {
        _guard(batch.blockNumber, batch.parentHash);
        if (msg.value < batch.tip) revert TipUnfunded(msg.value, batch.tip);
        uint256[] memory before = new uint256[](batch.assets.length);
        for (uint256 i = 0; i < before.length; ++i) {
            Asset calldata asset = batch.assets[i];
            before[i] = IERC20(asset.token).balanceOf(address(this));
            if (asset.pull != 0) _pullExactly(asset.token, asset.pull);
        }
        _run(batch.hops);
        _settleBatch(batch, before);
    }

    /// @notice Send what is here of a token (zero: native) to the owner. Rescue only: nothing stays
    /// here after `execute`.
    function withdraw(address token) external onlyOwner {
        if (token == address(0)) _payNative(owner, address(this).balance);
        else _sweep(token);
    }

    /// @notice Accept allowances above a plan's input (true), or refuse them (false, the default).
    function setUnlimitedAllowance(bool accepted) external onlyOwner {
        unlimitedAllowance = accepted;
    }

    /*//////////////////////////////////////////////////////////////
                                CALLBACKS
    //////////////////////////////////////////////////////////////*/

    /// @dev Balancer V2 `IFlashLoanRecipient`: the loans are here, and due back with their fees.
    function receiveFlashLoan(
        address[] calldata,
        uint256[] calldata,
        uint256[] calldata fees,
        bytes calldata data
    ) external {
        _authenticate();
        Plan calldata plan = _decode(data);
        _run(plan.hops);
        if (plan.loans.length == 0) {
            _transfer(plan.tokenIn, msg.sender, plan.amountIn + fees[0]);
        }
        for (uint256 i = 0; i < plan.loans.length; ++i) {
            Loan calldata loan = plan.loans[i];
            _transfer(loan.token, msg.sender, loan.amount + fees[i]);
        }
    }

    /// @dev Uniswap V2 `IUniswapV2Callee`. The pair's check, with the fee of 3/1000 on the input
    /// (UniswapV2Pair.sol `swap`), asks for 997 * repaid >= 1000 * lent: round up.
    function uniswapV2Call(address, uint256, uint256, bytes calldata data) external {
        _authenticate();
        Plan calldata plan = _decode(data);
        _run(plan.hops);
        _transfer(plan.tokenIn, msg.sender, _divUp(plan.amountIn * 1000, 997));
    }

    /// @dev Uniswap V3 `IUniswapV3FlashCallback`: the fee of the token not lent is zero.
    function uniswapV3FlashCallback(uint256 fee0, uint256 fee1, bytes calldata data) external {
        _authenticate();
        Plan calldata plan = _decode(data);
        _run(plan.hops);
        _transfer(plan.tokenIn, msg.sender, plan.amountIn + fee0 + fee1);
    }

    /// @dev Uniswap V3 `IUniswapV3SwapCallback`: pay the input of the swap that is under way.
    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata data) external {
        _authenticate();
        // The positive one of the two is what the pool is owed; a pool that asks for more than the
        // plan meant to give takes it from the result, which `_settle` measures.
        // A negative one would become a sum that no balance covers.
        // forge-lint: disable-next-line(unsafe-typecast)
        uint256 owed = uint256(delta0 > 0 ? delta0 : delta1);
        _transfer(abi.decode(data, (address)), msg.sender, owed);
    }

    /// @dev Uniswap V4 `IUnlockCallback`: swap, pay what that owes, take what it gave. A manager that
    /// alters the hop only changes the result, as a V3 pool may that asks for another token.
    /// @return received encoded: what came of the hop's output
    function unlockCallback(bytes calldata data) external returns (bytes memory received) {
        _authenticate();
        Hop calldata hop;
        assembly ("memory-safe") {
            hop := data.offset
        }
        bool zeroForOne = hop.tokenIn < hop.tokenOut;
        int256 delta = IPoolManager(msg.sender)
            .swap(
                _keyOf(hop, zeroForOne),
                IPoolManager.SwapParams(
                    zeroForOne,
                    // forge-lint: disable-next-line(unsafe-typecast)
                    -int256(hop.amountIn), // bounded by `_swapV4`
                    zeroForOne ? LOWEST_PRICE : HIGHEST_PRICE
                ),
                ""
            );
        // forge-lint: disable-next-line(unsafe-typecast)
        (int256 delta0, int256 delta1) = (delta >> 128, int256(int128(delta)));
        (int256 paid, int256 given) = zeroForOne ? (delta0, delta1) : (delta1, delta0);
        if (paid < 0) {
            IPoolManager(msg.sender).sync(hop.tokenIn);
            // forge-lint: disable-next-line(unsafe-typecast)
            _transfer(hop.tokenIn, msg.sender, uint256(-paid));
            IPoolManager(msg.sender).settle();
        }
        // forge-lint: disable-next-line(unsafe-typecast)
        uint256 got = given > 0 ? uint256(given) : 0;
        if (got != 0) IPoolManager(msg.sender).take(hop.tokenOut, address(this), got);
        return abi.encode(got);
    }

    /*//////////////////////////////////////////////////////////////
                                 FUNDING
    //////////////////////////////////////////////////////////////*/

    function _guard(uint256 blockNumber, bytes32 parentHash) internal view {
        if (blockNumber != 0 && blockNumber != block.number) {
            revert WrongBlock(block.number, blockNumber);
        }
        if (parentHash != 0) {
            bytes32 parent = blockhash(block.number - 1);
            if (parentHash != parent) revert WrongParent(parent, parentHash);
        }
    }

    /// @dev Take the input from the owner's account, by an allowance that is then used up.
    function _pullExactly(address token, uint256 amount) internal {
        uint256 allowed = IERC20(token).allowance(owner, address(this));
        if (allowed < amount) revert AllowanceNotExact(token, allowed, amount);
        if (allowed > amount && !unlimitedAllowance) revert UnlimitedAllowance(token);
        uint256 before = IERC20(token).balanceOf(address(this));
        _call(token, abi.encodeCall(IERC20.transferFrom, (owner, address(this), amount)));
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received != amount) revert TransferFailed(token);
    }

    /// @dev The lender gets the encoded plan and hands it back to the callback above, which runs it
    /// and repays. A lender that alters it only changes the result, which `_settle` measures.
    function _borrow(Plan calldata plan) internal {
        bytes calldata data = msg.data[4:];
        address lender = plan.lender;
        uint256 amount = plan.amountIn;
        if (plan.funding == FUNDING_BALANCER) {
            _borrowFromVault(plan);
        } else if (plan.funding == FUNDING_V2) {
            bool first = plan.tokenIn == IUniswapV2Pair(lender).token0();
            (uint256 out0, uint256 out1) = first ? (amount, uint256(0)) : (uint256(0), amount);
            _expect(lender, this.uniswapV2Call.selector);
            IUniswapV2Pair(lender).swap(out0, out1, address(this), data);
        } else if (plan.funding == FUNDING_V3) {
            bool first = plan.tokenIn == IUniswapV3Pool(lender).token0();
            (uint256 out0, uint256 out1) = first ? (amount, uint256(0)) : (uint256(0), amount);
            _expect(lender, this.uniswapV3FlashCallback.selector);
            IUniswapV3Pool(lender).flash(address(this), out0, out1, data);
        } else {
            revert BadFunding(plan.funding);
        }
        // A lender that never called back must not keep its permission for the next call.
        _expected = 0;
    }

    /// @dev As `_borrow`: the input alone, or what the plan lists.
    function _borrowFromVault(Plan calldata plan) internal {
        uint256 count = plan.loans.length;
        address[] memory tokens = new address[](count == 0 ? 1 : count);
        uint256[] memory amounts = new uint256[](tokens.length);
        if (count == 0) (tokens[0], amounts[0]) = (plan.tokenIn, plan.amountIn);
        for (uint256 i = 0; i < count; ++i) {
            (tokens[i], amounts[i]) = (plan.loans[i].token, plan.loans[i].amount);
        }
        _expect(plan.lender, this.receiveFlashLoan.selector);
        IBalancerVault(plan.lender).flashLoan(address(this), tokens, amounts, msg.data[4:]);
        _expected = 0;
    }

    function _expect(address callee, bytes4 selector) internal {
        _expected = selector | bytes32(uint256(uint160(callee)));
    }

    function _authenticate() internal {
        if (_expected != msg.sig | bytes32(uint256(uint160(msg.sender)))) {
            revert UnexpectedCallback(msg.sender);
        }
        _expected = 0;
    }

    /// @dev Point at the plan inside the bytes that `_borrow` sent: its first word is the offset.
    function _decode(bytes calldata data) internal pure returns (Plan calldata plan) {
        assembly ("memory-safe") {
            plan := add(data.offset, calldataload(data.offset))
        }
    }

    /*//////////////////////////////////////////////////////////////
                                  SWAPS
    //////////////////////////////////////////////////////////////*/

    function _run(Hop[] calldata hops) internal {
        for (uint256 i = 0; i < hops.length; ++i) {
            Hop calldata hop = hops[i];
            // The tokens of every pool are sorted.
            bool zeroForOne = hop.tokenIn < hop.tokenOut;
            if (hop.kind == HOP_V2) _swapV2(hop, zeroForOne);
            else if (hop.kind == HOP_V3) _swapV3(hop, zeroForOne, i);
            // forge-lint: disable-next-line(unsafe-typecast)
            else if (uint8(hop.kind) == HOP_V4) _swapV4(hop, i); // the key is above
            else revert BadHop(i, hop.kind);
        }
    }

    /// @dev The pair gives exactly `amountOut` or reverts, so there is no shortfall to look for.
    function _swapV2(Hop calldata hop, bool zeroForOne) internal {
        _transfer(hop.tokenIn, hop.pool, hop.amountIn);
        (uint256 out0, uint256 out1) =
            zeroForOne ? (uint256(0), hop.amountOut) : (hop.amountOut, uint256(0));
        IUniswapV2Pair(hop.pool).swap(out0, out1, address(this), "");
    }

    function _swapV3(Hop calldata hop, bool zeroForOne, uint256 index) internal {
        // A negative amount would mean "exactly this output" to the pool.
        if (hop.amountIn > uint256(type(int256).max)) revert HopShort(index, 0, hop.amountOut);
        _expect(hop.pool, this.uniswapV3SwapCallback.selector);
        (int256 delta0, int256 delta1) = IUniswapV3Pool(hop.pool)
            .swap(
                address(this),
                zeroForOne,
                // forge-lint: disable-next-line(unsafe-typecast)
                int256(hop.amountIn), // bounded above
                zeroForOne ? LOWEST_PRICE : HIGHEST_PRICE,
                abi.encode(hop.tokenIn)
            );
        _expected = 0;
        int256 delta = zeroForOne ? delta1 : delta0;
        // forge-lint: disable-next-line(unsafe-typecast)
        uint256 received = delta < 0 ? uint256(-delta) : 0;
        if (received < hop.amountOut) revert HopShort(index, received, hop.amountOut);
    }

    function _swapV4(Hop calldata hop, uint256 index) internal {
        // As above: negated it would mean an output, or nothing at all.
        if (hop.amountIn > uint256(type(int256).max)) revert HopShort(index, 0, hop.amountOut);
        _expect(hop.pool, this.unlockCallback.selector);
        bytes memory answer = IPoolManager(hop.pool).unlock(abi.encode(hop));
        _expected = 0;
        uint256 received = abi.decode(answer, (uint256));
        if (received < hop.amountOut) revert HopShort(index, received, hop.amountOut);
    }

    /// @dev The key of a V4 hop's pool, which its kind carries.
    function _keyOf(Hop calldata hop, bool zeroForOne)
        internal
        pure
        returns (IPoolManager.PoolKey memory)
    {
        (address currency0, address currency1) =
            zeroForOne ? (hop.tokenIn, hop.tokenOut) : (hop.tokenOut, hop.tokenIn);
        // Each cast cuts off what is packed above it.
        // forge-lint: disable-start(unsafe-typecast)
        return IPoolManager.PoolKey(
            currency0,
            currency1,
            uint24(hop.kind >> 8),
            int24(uint24(hop.kind >> 32)),
            address(uint160(hop.kind >> 56))
        );
        // forge-lint: disable-end(unsafe-typecast)
    }

    /*//////////////////////////////////////////////////////////////
                               SETTLEMENT
    //////////////////////////////////////////////////////////////*/

    /// @dev Check the result, hand everything to the owner, pay the tip last.
    /// @param before what of tokenOut is not a gain: here before, or pulled from the owner.
    function _settle(Plan calldata plan, uint256 before) internal {
        uint256 held = IERC20(plan.tokenOut).balanceOf(address(this));
        uint256 unwrapped = plan.tip > msg.value ? plan.tip - msg.value : 0;
        if (unwrapped != 0) {
            uint256 wrapped = plan.tokenOut == WETH ? held : 0;
            if (wrapped < unwrapped) revert TipUnfunded(msg.value + wrapped, plan.tip);
        }
        uint256 due = before + unwrapped;
        uint256 gain = held > due ? held - due : 0;
        if (gain < plan.minOut || held < due) revert ProfitTooLow(gain, plan.minOut);
        if (unwrapped != 0) IWrappedNative(WETH).withdraw(unwrapped);

        _sweepTouched(plan);
        _payOut(plan.tip);
    }

    /// @dev Measure every asset before the first is moved, hand all to the owner, pay the tip last.
    /// @param held what was here of each asset before; replaced by what is here now.
    function _settleBatch(Batch calldata batch, uint256[] memory held) internal {
        for (uint256 i = 0; i < held.length; ++i) {
            Asset calldata asset = batch.assets[i];
            uint256 left = IERC20(asset.token).balanceOf(address(this));
            uint256 gain = left > held[i] ? left - held[i] : 0;
            if (gain < asset.minimum || left < held[i]) {
                revert AssetShort(asset.token, gain, asset.minimum);
            }
            held[i] = left;
        }
        for (uint256 i = 0; i < held.length; ++i) {
            if (held[i] != 0) _transfer(batch.assets[i].token, owner, held[i]);
        }
        _payOut(batch.tip);
    }

    /// @dev Each token once, however many hops name it.
    function _sweepTouched(Plan calldata plan) internal {
        (address first, address last) = (plan.tokenIn, plan.tokenOut);
        address[] memory swept = new address[](2 * plan.hops.length);
        uint256 count = 0;
        for (uint256 i = 0; i < plan.hops.length; ++i) {
            Hop calldata hop = plan.hops[i];
            for (uint256 side = 0; side < 2; ++side) {
                address token = side == 0 ? hop.tokenIn : hop.tokenOut;
                if (token == first || token == last || _holds(swept, count, token)) continue;
                swept[count++] = token;
                _sweep(token);
            }
        }
        if (first != last) _sweep(first);
        _sweep(last);
    }

    /// @dev Looks at the newest first: in a chain a hop's input is the output of the hop before.
    function _holds(address[] memory list, uint256 count, address token)
        internal
        pure
        returns (bool)
    {
        while (count != 0) if (list[--count] == token) return true;
        return false;
    }

    function _sweep(address token) internal {
        uint256 held = IERC20(token).balanceOf(address(this));
        if (held != 0) _transfer(token, owner, held);
    }

    /*//////////////////////////////////////////////////////////////
                                TRANSFERS
    //////////////////////////////////////////////////////////////*/

    function _transfer(address token, address to, uint256 amount) internal {
        _call(token, abi.encodeCall(IERC20.transfer, (to, amount)));
    }

    /// @dev Call a token that answers true, or nothing at all as USDT does; anything else failed.
    function _call(address token, bytes memory data) internal {
        (bool succeeded, bytes memory answer) = token.call(data);
        bool accepted = answer.length == 0
            ? token.code.length != 0
            : answer.length >= 32 && abi.decode(answer, (uint256)) == 1;
        if (!succeeded || !accepted) revert TransferFailed(token);
    }

    /// @dev The tip to the builder, all other native token to the owner.
    function _payOut(uint256 tip) internal {
        uint256 native = address(this).balance;
        if (native > tip) _payNative(owner, native - tip);
        if (tip != 0) _payNative(block.coinbase, tip);
    }

    function _payNative(address to, uint256 amount) internal {
        (bool succeeded,) = to.call{value: amount}("");
        if (!succeeded) revert TransferFailed(address(0));
    }

    function _divUp(uint256 numerator, uint256 denominator) internal pure returns (uint256) {
        return (numerator + denominator - 1) / denominator;
    }
}
