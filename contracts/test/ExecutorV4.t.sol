// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {IPoolManager} from "../src/interfaces/Venues.sol";
import {Puppet} from "./mocks/Puppet.sol";
import {Habit, WeirdToken} from "./mocks/Tokens.sol";
import {equal, named, vm, within} from "./Vm.sol";
import {World} from "./World.sol";

/// @dev A manager that takes its time: it does not call back when it should, only when poked.
contract MuteManager {
    address internal immutable target;
    bytes internal callback;

    constructor(address target_, bytes memory callback_) {
        (target, callback) = (target_, callback_);
    }

    function unlock(bytes calldata) external pure returns (bytes memory) {
        return abi.encode(uint256(1));
    }

    fallback() external {
        (bool succeeded, bytes memory said) = target.call(callback);
        if (!succeeded) {
            assembly ("memory-safe") {
                revert(add(said, 0x20), mload(said))
            }
        }
    }
}

/// @dev Hops in V4's manager: results, and what hostile managers can do.
contract ExecutorV4Test is World {
    Puppet internal puppet;
    Puppet internal accomplice;
    MuteManager internal mute;

    function setUp() public {
        build(Habit.PLAIN);
        puppet = new Puppet();
        accomplice = new Puppet();
    }

    /*//////////////////////////////////////////////////////////////
                                 RESULTS
    //////////////////////////////////////////////////////////////*/

    function testFuzz_cycle_gains_exactly_what_was_computed(
        uint8 habit,
        uint8 funding,
        uint256 amount
    ) public {
        build(Habit(within(habit, 0, uint8(Habit.FALSE))));
        funding = uint8(within(funding, OWN, V3_FLASH));
        amount = within(amount, 1e15, 15e18);
        if (funding == OWN) fund(weth, amount);
        Executor.Plan memory plan = cycleV4(funding, amount);

        run(plan);

        uint256 capital = funding == OWN ? amount : 0;
        equal(capital + plan.minOut, weth.balanceOf(owner), "capital and gain");
        assertNothingLeft();
    }

    function testFuzz_swap_either_way(bool sell, uint256 amount) public {
        amount = within(amount, 1e9, 100e18);
        fund(sell ? token : weth, amount);
        Executor.Plan memory plan = swap(
            sell ? address(token) : address(weth), sell ? address(weth) : address(token), 1e18
        );
        plan.hops[0] = hopV4(plan.tokenIn, amount);
        (plan.amountIn, plan.minOut) = (amount, plan.hops[0].amountOut);

        run(plan);

        equal(plan.minOut, (sell ? weth : token).balanceOf(owner), "output");
        assertNothingLeft();
    }

    /// @dev Of the pools of one manager the key says which; of every field a wrong one is noticed.
    function testFuzz_another_key_is_another_pool(uint8 bit) public {
        Executor.Plan memory plan = cycleV4(BALANCER, 1e18);
        plan.hops[0].kind ^= uint256(1) << within(bit, 8, 215);

        vm.expectRevert("PoolNotInitialized");
        run(plan);
    }

    function test_a_pool_that_gives_less_than_planned_reverts() public {
        Executor.Plan memory plan = cycleV4(BALANCER, 1e18);
        uint256 got = plan.hops[0].amountOut;
        plan.hops[0].amountOut += 1;

        vm.expectRevert(abi.encodeWithSelector(Executor.HopShort.selector, 0, got, got + 1));
        run(plan);
    }

    function test_an_input_above_int256_is_refused() public {
        Executor.Plan memory plan = cycleV4(BALANCER, 1e18);
        plan.hops[0].amountIn = uint256(type(int256).max) + 1;

        vm.expectRevert(
            abi.encodeWithSelector(Executor.HopShort.selector, 0, 0, plan.hops[0].amountOut)
        );
        run(plan);
    }

    function test_swaps_in_two_v4_pools_follow_each_other() public {
        IPoolManager.PoolKey memory other = _key();
        other.fee = 500;
        manager.initialize(other, address(weth) < address(token) ? 2000e18 : 1e18 / uint256(2000));
        Executor.Plan memory plan = cycleV4(BALANCER, 1e18);
        plan.hops[1] = hopV4(address(token), plan.hops[0].amountOut);
        plan.hops[1].kind =
            2 | uint256(500) << 8 | uint256(32767) << 32 | uint256(uint160(HOOKS)) << 56;
        plan.hops[1].amountOut =
            manager.quote(other, address(token) < address(weth), plan.hops[1].amountIn);
        plan.minOut = plan.hops[1].amountOut - 1e18;

        run(plan);

        equal(plan.minOut, weth.balanceOf(owner), "gain");
        assertNothingLeft();
    }

    /*//////////////////////////////////////////////////////////////
                           HOSTILE MANAGERS
    //////////////////////////////////////////////////////////////*/

    function _refusal(address caller) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Executor.UnexpectedCallback.selector, caller);
    }

    function _callback() internal view returns (bytes memory) {
        return abi.encodeCall(Executor.unlockCallback, (abi.encode(hopV4(address(weth), 1e18))));
    }

    /// @dev A plan whose first hop trades in the puppet as if it were the manager.
    function _throughPuppet() internal view returns (Executor.Plan memory plan) {
        plan = cycleV4(BALANCER, 1e18);
        plan.hops[0].pool = address(puppet);
    }

    function _refuses(Executor.Plan memory plan, bytes memory reason) internal {
        vm.expectRevert(reason);
        run(plan);
    }

    function test_the_callback_is_not_open_when_nothing_runs() public {
        address stranger = named("stranger");
        weth.mint(address(executor), 1e18);
        bytes memory callback = _callback();

        vm.prank(stranger);
        (bool succeeded, bytes memory answer) = address(executor).call(callback);

        equal(false, succeeded, "callback accepted");
        equal(true, keccak256(answer) == keccak256(_refusal(stranger)), "reason");
    }

    function test_another_contract_cannot_answer_for_the_manager() public {
        accomplice.learn(address(executor), _callback());
        puppet.learn(address(accomplice), "");

        _refuses(_throughPuppet(), _refusal(address(accomplice)));
    }

    /// @dev In a plan through the genuine manager, a hostile pair tries it in the hop afterwards.
    function test_a_later_hop_cannot_use_the_managers_callback() public {
        puppet.learn(address(executor), _callback());
        Executor.Plan memory plan = cycleV4(BALANCER, 1e18);
        plan.hops[1].pool = address(puppet);

        _refuses(plan, _refusal(address(puppet)));
    }

    function test_a_manager_cannot_use_another_callback() public {
        bytes memory ask = abi.encodeCall(
            Executor.uniswapV3SwapCallback, (int256(1), int256(-1), abi.encode(address(weth)))
        );
        puppet.learn(address(executor), ask);

        _refuses(_throughPuppet(), _refusal(address(puppet)));
    }

    function test_a_v3_pool_cannot_use_the_managers_callback() public {
        puppet.learn(address(executor), _callback());
        Executor.Plan memory plan = _throughPuppet();
        plan.hops[0].kind = 1;

        _refuses(plan, _refusal(address(puppet)));
    }

    /// @dev Transient storage lasts for the transaction, so both calls must be in one.
    function thenPoke(Executor.Plan calldata plan) external {
        executor.execute(plan);
        (bool succeeded, bytes memory answer) = address(mute).call("");
        equal(false, succeeded, "callback accepted");
        equal(true, keccak256(answer) == keccak256(_refusal(address(mute))), "reason");
    }

    function test_a_manager_that_never_called_back_cannot_do_so_later() public {
        bytes memory callback = _callback();
        executor = new Executor(address(weth));
        weth.mint(address(this), 1e18);
        weth.approve(address(executor), 1e18);
        mute = new MuteManager(address(executor), callback);
        Executor.Plan memory plan = swap(address(weth), address(token), 1e18);
        plan.hops[0] = hopV4(address(weth), 1e18);
        (plan.hops[0].pool, plan.hops[0].amountOut, plan.minOut) = (address(mute), 1, 0);

        this.thenPoke(plan);
    }

    /// @dev A manager that is owed more than the plan gave gets what is there at most, and a plan
    /// that then gains too little is undone.
    function test_a_manager_that_keeps_the_input_undoes_everything() public {
        Thief thief = new Thief(address(executor), hopV4(address(weth), 1e18), -1e18, 0);
        Executor.Plan memory plan = cycleV4(BALANCER, 1e18);
        plan.hops[0].pool = address(thief);

        _refuses(
            plan, abi.encodeWithSelector(Executor.HopShort.selector, 0, 0, plan.hops[0].amountOut)
        );
    }

    function test_a_manager_that_asks_for_more_gets_nothing() public {
        Thief thief = new Thief(address(executor), hopV4(address(weth), 1e18), -1e18 - 1, 1);
        Executor.Plan memory plan = cycleV4(BALANCER, 1e18);
        plan.hops[0].pool = address(thief);

        _refuses(plan, abi.encodeWithSelector(Executor.TransferFailed.selector, address(weth)));
    }

    function test_a_manager_that_lies_about_its_output_undoes_everything() public {
        Thief thief = new Thief(address(executor), hopV4(address(weth), 1e18), -1e18, 1e30);
        Executor.Plan memory plan = cycleV4(BALANCER, 1e18);
        plan.hops[0].pool = address(thief);

        _refuses(plan, abi.encodeWithSelector(Executor.TransferFailed.selector, address(token)));
    }

    /// @dev Called back with another hop it pays for that one; what comes of the plan is measured.
    function test_a_manager_that_alters_the_hop_is_measured_by_the_original() public {
        Executor.Hop memory other = hopV4(address(token), 5);
        Thief thief = new Thief(address(executor), other, 0, 0);
        Executor.Plan memory plan = cycleV4(BALANCER, 1e18);
        plan.hops[0].pool = address(thief);
        plan.hops[0].amountOut = 0;
        plan.hops = _first(plan.hops);

        _refuses(plan, abi.encodeWithSelector(Executor.ProfitTooLow.selector, 0, plan.minOut));
    }

    function test_a_manager_cannot_get_in_through_the_owners_functions() public {
        puppet.learn(address(executor), abi.encodeCall(Executor.withdraw, (address(weth))));

        _refuses(_throughPuppet(), abi.encodeWithSelector(Executor.NotOwner.selector));
    }

    function _first(Executor.Hop[] memory hops) internal pure returns (Executor.Hop[] memory one) {
        one = new Executor.Hop[](1);
        one[0] = hops[0];
    }
}

/// @dev A manager that says of every swap what it was told to, and delivers nothing.
contract Thief {
    address internal immutable target;
    int256 internal immutable delta;
    bytes internal hop;

    constructor(address target_, Executor.Hop memory hop_, int128 paid, int128 given) {
        bool first = hop_.tokenIn < hop_.tokenOut;
        (int256 delta0, int128 delta1) = first ? (int256(paid), given) : (int256(given), paid);
        delta = (delta0 << 128) | int256(uint256(uint128(delta1)));
        (target, hop) = (target_, abi.encode(hop_));
    }

    function unlock(bytes calldata) external returns (bytes memory answer) {
        bytes memory call = abi.encodeCall(Executor.unlockCallback, (hop));
        (bool succeeded, bytes memory said) = target.call(call);
        if (!succeeded) {
            assembly ("memory-safe") {
                revert(add(said, 0x20), mload(said))
            }
        }
        return abi.decode(said, (bytes));
    }

    function swap(IPoolManager.PoolKey calldata, IPoolManager.SwapParams calldata, bytes calldata)
        external
        view
        returns (int256)
    {
        return delta;
    }

    function sync(address) external {}
    function settle() external payable returns (uint256) {}
    function take(address, address, uint256) external {}
}
