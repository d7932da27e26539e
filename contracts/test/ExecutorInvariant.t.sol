// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {Habit} from "./mocks/Tokens.sol";
import {equal, vm, within} from "./Vm.sol";
import {World} from "./World.sol";

/// @dev Everything that can be done to one executor, in any order, each valid by construction so
/// that a revert is a failure too.
contract Actions is World {
    /// @dev Tokens sent here by strangers since the last time they were swept.
    uint256 public strayWeth;
    uint256 public strayToken;

    constructor(Habit habit) {
        build(habit);
    }

    function arbitrage(uint8 funding, uint256 amount, uint256 tip, uint256 value) external {
        funding = uint8(within(funding, OWN, V3_FLASH));
        amount = within(amount, 1e15, 3e18);
        _rebalance();
        if (funding == OWN) fund(weth, amount);
        Executor.Plan memory plan = cycle(funding, amount);
        value = within(value, 0, 1e15);
        plan.tip = within(tip, 0, value + plan.minOut);
        uint256 unwrapped = plan.tip > value ? plan.tip - value : 0;
        plan.minOut -= unwrapped;
        _execute(plan, value);
    }

    function arbitrageV4(uint8 funding, uint256 amount) external {
        funding = uint8(within(funding, OWN, V3_FLASH));
        amount = within(amount, 1e15, 3e18);
        _rebalance();
        if (funding == OWN) fund(weth, amount);
        _execute(cycleV4(funding, amount), 0);
    }

    function onLoans(uint256 sold, uint256 borrowed) external {
        _rebalance();
        _execute(flashOrder(within(sold, 1e18, 5000e18), within(borrowed, 0, 3e18)), 0);
    }

    function trade(bool sell, uint256 amount) external {
        _rebalance();
        amount = within(amount, 1e15, 1e18);
        fund(sell ? token : weth, amount);
        (address tokenIn, address tokenOut) =
            sell ? (address(token), address(weth)) : (address(weth), address(token));
        _execute(swap(tokenIn, tokenOut, amount), 0);
    }

    function together(uint256 sold, uint256 spent, uint256 tip) external {
        _rebalance();
        sold = within(sold, 1e15, 1e18);
        spent = within(spent, 1e15, 1000e18);
        fund(weth, sold);
        fund(token, spent);
        Executor.Batch memory wish = batch(sold, spent);
        wish.tip = within(tip, 0, 1e15);
        vm.deal(owner, 10 ether);
        vm.prank(owner);
        executor.executeBatch{value: wish.tip}(wish);
        (strayWeth, strayToken) = (0, 0);
        assertNothingLeft();
    }

    function donate(bool wrapped, uint256 amount) external {
        amount = within(amount, 0, 1e18);
        if (wrapped) {
            vm.deal(address(weth), address(weth).balance + amount);
            weth.mint(address(executor), amount);
            strayWeth += amount;
        } else {
            token.mint(address(executor), amount);
            strayToken += amount;
        }
    }

    function withdraw(bool wrapped) external {
        vm.prank(owner);
        executor.withdraw(wrapped ? address(weth) : address(token));
        if (wrapped) strayWeth = 0;
        else strayToken = 0;
    }

    function intrude(address stranger, uint256 amount) external {
        Executor.Plan memory plan = cycle(BALANCER, within(amount, 1e15, 1e18));
        if (stranger == owner) plan.blockNumber = block.number + 1;
        vm.prank(stranger);
        try executor.execute(plan) {
            revert("an intruder got in");
        } catch {} // refused, as it must be
    }

    /// @dev Put the pairs back to their prices, so that there is always something to gain.
    function _rebalance() internal {
        _refill(address(pair));
        _refill(address(lenderPair));
        pair.sync();
        lenderPair.sync();
    }

    function _refill(address venue) internal {
        uint256 wrapped = weth.balanceOf(venue);
        uint256 held = token.balanceOf(venue);
        if (held < wrapped * 2000) token.mint(venue, wrapped * 2000 - held);
        else weth.mint(venue, held / 2000 - wrapped);
        vm.deal(address(weth), 1e30);
    }

    function _execute(Executor.Plan memory plan, uint256 value) internal {
        vm.deal(owner, 10 ether);
        run(plan, value);
        // Both plans above touch both tokens.
        (strayWeth, strayToken) = (0, 0);
        assertNothingLeft();
    }

    function check() external view {
        equal(strayWeth, weth.balanceOf(address(executor)), "WETH held");
        equal(strayToken, token.balanceOf(address(executor)), "token held");
        equal(0, address(executor).balance, "native held");
        equal(0, weth.allowance(owner, address(executor)), "WETH allowance");
        equal(0, token.allowance(owner, address(executor)), "token allowance");
    }
}

abstract contract ExecutorInvariant {
    Actions internal actions;

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(actions);
    }

    /// forge-config: default.invariant.fail-on-revert = true
    function invariant_nothing_stays_and_nothing_is_approved() external view {
        actions.check();
    }
}

contract ExecutorInvariantPlainTest is ExecutorInvariant {
    function setUp() public {
        actions = new Actions(Habit.PLAIN);
    }
}

contract ExecutorInvariantSilentTest is ExecutorInvariant {
    function setUp() public {
        actions = new Actions(Habit.SILENT);
    }
}

contract ExecutorInvariantFalseTest is ExecutorInvariant {
    function setUp() public {
        actions = new Actions(Habit.FALSE);
    }
}
