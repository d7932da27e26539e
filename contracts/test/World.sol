// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {IPoolManager} from "../src/interfaces/Venues.sol";
import {Habit, WeirdToken, WrappedNative} from "./mocks/Tokens.sol";
import {ManagerModel, PairModel, PoolModel, VaultModel} from "./mocks/Venues.sol";
import {equal, named, vm} from "./Vm.sol";

/// @dev One market: wrapped native against a token of any habit, in a pair and in a pool where the
/// token is a tenth cheaper, once of V3 and once of V4, and three lenders of the wrapped native token.
abstract contract World {
    uint8 internal constant OWN = 0;
    uint8 internal constant BALANCER = 1;
    uint8 internal constant V2_FLASH = 2;
    uint8 internal constant V3_FLASH = 3;

    address internal immutable owner = named("owner");
    address internal immutable builder = named("builder");

    Executor internal executor;
    WrappedNative internal weth;
    WeirdToken internal token;
    PairModel internal pair;
    PoolModel internal pool;
    PairModel internal lenderPair;
    PoolModel internal lenderPool;
    VaultModel internal vault;
    ManagerModel internal manager;
    address internal constant HOOKS = 0xccCCCccccccccCcCcCccCCcCCCccCcCcCCCC0000;

    function build(Habit habit) internal {
        vm.roll(1000);
        vm.coinbase(builder);
        weth = new WrappedNative();
        vm.prank(owner);
        executor = new Executor(address(weth));
        token = new WeirdToken(habit);
        pair = new PairModel(address(weth), address(token));
        lenderPair = new PairModel(address(weth), address(token));
        // 2000 tokens a WETH in the pairs, 2200 in the pools.
        bool wethFirst = address(weth) < address(token);
        uint256 rate = wethFirst ? 2200e18 : uint256(1e18) / 2200;
        pool = new PoolModel(address(weth), address(token), 500, rate);
        lenderPool = new PoolModel(address(weth), address(token), 500, rate);
        vault = new VaultModel();
        manager = new ManagerModel();
        manager.initialize(_key(), rate);
        _stock(address(pair));
        _stock(address(pool));
        _stock(address(lenderPair));
        _stock(address(lenderPool));
        _stock(address(vault));
        _stock(address(manager));
        pair.sync();
        lenderPair.sync();
        vm.deal(owner, 1000 ether);
    }

    /// @dev Give an account both tokens; wrapped ones are backed.
    function _stock(address account) internal {
        token.mint(account, 2_000_000e18);
        vm.deal(address(weth), address(weth).balance + 1000 ether);
        weth.mint(account, 1000 ether);
    }

    function lender(uint8 funding) internal view returns (address) {
        if (funding == BALANCER) return address(vault);
        if (funding == V2_FLASH) return address(lenderPair);
        if (funding == V3_FLASH) return address(lenderPool);
        return address(0);
    }

    /// @dev What a cycle with this input gains, after the lender's fee.
    function gain(uint8 funding, uint256 amount) internal view returns (uint256) {
        uint256 back = pair.quote(address(token), pool.quote(address(weth), amount));
        return back - amount - lendingFee(funding, amount);
    }

    function lendingFee(uint8 funding, uint256 amount) internal view returns (uint256) {
        if (funding == V2_FLASH) return (amount * 1000 + 996) / 997 - amount;
        if (funding == V3_FLASH) return (amount * 500 + 999_999) / 1e6;
        if (funding == BALANCER) return amount * vault.fee() / 1e6;
        return 0;
    }

    /// @dev WETH to the token where it is cheap, and back where it is dear; asks for all the gain.
    function cycle(uint8 funding, uint256 amount)
        internal
        view
        returns (Executor.Plan memory plan)
    {
        uint256 bought = pool.quote(address(weth), amount);
        uint256 back = pair.quote(address(token), bought);
        plan.funding = funding;
        plan.lender = lender(funding);
        (plan.tokenIn, plan.tokenOut) = (address(weth), address(weth));
        plan.amountIn = amount;
        plan.minOut = gain(funding, amount);
        plan.hops = new Executor.Hop[](2);
        plan.hops[0] = Executor.Hop(address(pool), 1, address(weth), address(token), amount, bought);
        plan.hops[1] = Executor.Hop(address(pair), 0, address(token), address(weth), bought, back);
    }

    /// @dev The V4 pool; every field of its key is set, and its fee is a hook's to set.
    function _key() internal view returns (IPoolManager.PoolKey memory) {
        (address currency0, address currency1) = address(weth) < address(token)
            ? (address(weth), address(token))
            : (address(token), address(weth));
        return IPoolManager.PoolKey(currency0, currency1, 0x800000 | 100, 32767, HOOKS);
    }

    function kindV4() internal pure returns (uint256) {
        return 2 | (0x800000 | 100) << 8 | 32767 << 32 | uint256(uint160(HOOKS)) << 56;
    }

    function hopV4(address tokenIn, uint256 amountIn) internal view returns (Executor.Hop memory) {
        address tokenOut = tokenIn == address(weth) ? address(token) : address(weth);
        uint256 amountOut = manager.quote(_key(), tokenIn < tokenOut, amountIn);
        return Executor.Hop(address(manager), kindV4(), tokenIn, tokenOut, amountIn, amountOut);
    }

    function hopV3(address tokenIn, uint256 amountIn) internal view returns (Executor.Hop memory) {
        address tokenOut = tokenIn == address(weth) ? address(token) : address(weth);
        uint256 amountOut = pool.quote(tokenIn, amountIn);
        return Executor.Hop(address(pool), 1, tokenIn, tokenOut, amountIn, amountOut);
    }

    function hopV2(address tokenIn, uint256 amountIn) internal view returns (Executor.Hop memory) {
        address tokenOut = tokenIn == address(weth) ? address(token) : address(weth);
        uint256 amountOut = pair.quote(tokenIn, amountIn);
        return Executor.Hop(address(pair), 0, tokenIn, tokenOut, amountIn, amountOut);
    }

    /// @dev The same cycle with its first swap in the V4 pool.
    function cycleV4(uint8 funding, uint256 amount)
        internal
        view
        returns (Executor.Plan memory plan)
    {
        plan = cycle(funding, amount);
        plan.hops[0] = hopV4(address(weth), amount);
        plan.hops[1] = hopV2(address(token), plan.hops[0].amountOut);
        plan.minOut = plan.hops[1].amountOut - amount - lendingFee(funding, amount);
    }

    /// @dev The cycle backwards in time: sell tokens in the pair that are bought in the pools
    /// afterwards, so that all of them are borrowed, and of WETH as much as is asked for.
    function flashOrder(uint256 sold, uint256 borrowed)
        internal
        view
        returns (Executor.Plan memory plan)
    {
        plan.funding = BALANCER;
        plan.lender = address(vault);
        (plan.tokenIn, plan.tokenOut) = (address(weth), address(weth));
        plan.amountIn = borrowed;
        plan.hops = new Executor.Hop[](3);
        plan.hops[0] = hopV2(address(token), sold);
        // A little more than was sold, half of it in each pool.
        uint256 spent = sold * 1e18 / 2195e18 / 2;
        plan.hops[1] = hopV3(address(weth), spent);
        plan.hops[2] = hopV4(address(weth), spent);
        plan.minOut = plan.hops[0].amountOut - 2 * spent;
        plan.loans = new Executor.Loan[](borrowed == 0 ? 1 : 2);
        (uint256 first, uint256 last) = address(weth) < address(token) ? (0, 1) : (1, 0);
        if (borrowed == 0) last = 0;
        else plan.loans[first] = Executor.Loan(address(weth), borrowed);
        plan.loans[last] = Executor.Loan(address(token), sold);
    }

    /// @dev One hop in the pair from own capital; asks for all the output.
    function swap(address tokenIn, address tokenOut, uint256 amount)
        internal
        view
        returns (Executor.Plan memory plan)
    {
        plan.funding = OWN;
        (plan.tokenIn, plan.tokenOut) = (tokenIn, tokenOut);
        plan.amountIn = amount;
        plan.minOut = pair.quote(tokenIn, amount);
        plan.hops = new Executor.Hop[](1);
        plan.hops[0] = Executor.Hop(address(pair), 0, tokenIn, tokenOut, amount, plan.minOut);
    }

    /// @dev WETH to the token in the pool, and the token to WETH in the pair, both from own capital.
    function batch(uint256 sold, uint256 spent) internal view returns (Executor.Batch memory wish) {
        uint256 bought = pool.quote(address(weth), sold);
        uint256 back = pair.quote(address(token), spent);
        wish.assets = new Executor.Asset[](2);
        wish.assets[0] = Executor.Asset(address(weth), sold, back);
        wish.assets[1] = Executor.Asset(address(token), spent, bought);
        wish.hops = new Executor.Hop[](2);
        wish.hops[0] = Executor.Hop(address(pool), 1, address(weth), address(token), sold, bought);
        wish.hops[1] = Executor.Hop(address(pair), 0, address(token), address(weth), spent, back);
    }

    /// @dev Give the owner the amount and approve exactly that.
    function fund(WeirdToken asset, uint256 amount) internal {
        if (address(asset) == address(weth)) {
            vm.deal(address(weth), address(weth).balance + amount);
        }
        asset.mint(owner, amount);
        vm.prank(owner);
        asset.approve(address(executor), amount);
    }

    function run(Executor.Plan memory plan, uint256 value) internal {
        vm.prank(owner);
        executor.execute{value: value}(plan);
    }

    function run(Executor.Plan memory plan) internal {
        run(plan, 0);
    }

    /// @dev No balance and no allowance, in either direction.
    function assertNothingLeft() internal view {
        equal(0, weth.balanceOf(address(executor)), "WETH left");
        equal(0, token.balanceOf(address(executor)), "token left");
        equal(0, address(executor).balance, "native left");
        address[6] memory venues = [
            address(pair),
            address(pool),
            address(lenderPair),
            address(lenderPool),
            address(vault),
            address(manager)
        ];
        for (uint256 i = 0; i < venues.length; ++i) {
            equal(0, weth.allowance(address(executor), venues[i]), "WETH allowance given");
            equal(0, token.allowance(address(executor), venues[i]), "token allowance given");
        }
        equal(0, weth.allowance(owner, address(executor)), "owner's WETH allowance");
        equal(0, token.allowance(owner, address(executor)), "owner's token allowance");
    }
}
