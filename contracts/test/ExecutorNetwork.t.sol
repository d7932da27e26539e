// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {Puppet} from "./mocks/Puppet.sol";
import {Habit} from "./mocks/Tokens.sol";
import {equal, vm, within} from "./Vm.sol";
import {World} from "./World.sol";

/// @dev Routes that are no chains: splits, networks, and orders that only loans can run.
contract ExecutorNetworkTest is World {
    function setUp() public {
        build(Habit.PLAIN);
    }

    /// @dev A third of the input through each pool, and all of the token back through the pair.
    function _split(uint8 funding, uint256 amount)
        internal
        view
        returns (Executor.Plan memory plan)
    {
        plan = cycle(funding, amount);
        plan.hops = new Executor.Hop[](4);
        plan.hops[0] = hopV3(address(weth), amount / 3);
        plan.hops[1] = hopV4(address(weth), amount / 3);
        plan.hops[2] = hopV3(address(weth), amount - 2 * (amount / 3));
        uint256 bought = plan.hops[0].amountOut + plan.hops[1].amountOut + plan.hops[2].amountOut;
        plan.hops[3] = hopV2(address(token), bought);
        plan.minOut = plan.hops[3].amountOut - amount - lendingFee(funding, amount);
    }

    function testFuzz_a_split_gains_exactly_what_was_computed(uint8 funding, uint256 amount)
        public
    {
        funding = uint8(within(funding, OWN, V3_FLASH));
        amount = within(amount, 1e15, 15e18);
        if (funding == OWN) fund(weth, amount);
        Executor.Plan memory plan = _split(funding, amount);

        run(plan);

        uint256 capital = funding == OWN ? amount : 0;
        equal(capital + plan.minOut, weth.balanceOf(owner), "capital and gain");
        assertNothingLeft();
    }

    function testFuzz_loans_run_what_no_order_runs(uint8 habit, uint256 sold, uint256 borrowed)
        public
    {
        build(Habit(within(habit, 0, uint8(Habit.FALSE))));
        sold = within(sold, 1e18, 20_000e18);
        borrowed = within(borrowed, 0, 10e18);
        Executor.Plan memory plan = flashOrder(sold, borrowed);
        uint256 bought = plan.hops[1].amountOut + plan.hops[2].amountOut;

        run(plan);

        equal(plan.minOut, weth.balanceOf(owner), "gain");
        equal(bought - sold, token.balanceOf(owner), "what was bought beyond the loan");
        assertNothingLeft();
    }

    function test_a_vault_that_charges_is_repaid_in_every_token() public {
        vault.setFee(500);
        uint256 wethLent = weth.balanceOf(address(vault));
        uint256 tokenLent = token.balanceOf(address(vault));
        Executor.Plan memory plan = flashOrder(1000e18, 1e18);
        plan.minOut -= 1e18 * 500 / 1e6;

        run(plan);

        equal(wethLent + 1e18 * 500 / 1e6, weth.balanceOf(address(vault)), "WETH");
        equal(tokenLent + 1000e18 * 500 / 1e6, token.balanceOf(address(vault)), "token");
        equal(plan.minOut, weth.balanceOf(owner), "gain");
        assertNothingLeft();
    }

    /// @dev Own input beside a loan of the token that the first hop sells.
    function testFuzz_own_capital_goes_with_loans(uint256 amount) public {
        amount = within(amount, 1e15, 5e18);
        fund(weth, amount);
        Executor.Plan memory plan = flashOrder(1000e18, 0);
        plan.funding = OWN;
        plan.amountIn = amount;

        run(plan);

        equal(amount + plan.minOut, weth.balanceOf(owner), "capital and gain");
        assertNothingLeft();
    }

    function test_a_loan_that_cannot_be_repaid_undoes_everything() public {
        Executor.Plan memory plan = flashOrder(1000e18, 0);
        uint256 half = plan.hops[1].amountIn / 2;
        plan.hops[1] = hopV3(address(weth), half);
        plan.minOut = 0;

        vm.expectRevert(abi.encodeWithSelector(Executor.TransferFailed.selector, address(token)));
        run(plan);
    }

    function test_only_the_vault_lends_several_tokens() public {
        for (uint8 funding = V2_FLASH; funding <= V3_FLASH; ++funding) {
            Executor.Plan memory plan = flashOrder(1000e18, 1e15);
            (plan.funding, plan.lender) = (funding, lender(funding));
            vm.expectRevert(
                abi.encodeWithSelector(Executor.TransferFailed.selector, address(token))
            );
            run(plan);
        }
    }

    function test_a_vault_that_lends_once_calls_back_once() public {
        Puppet puppet = new Puppet();
        uint256[] memory none = new uint256[](2);
        bytes memory callback = abi.encodeCall(
            Executor.receiveFlashLoan,
            (new address[](2), none, none, abi.encode(cycle(BALANCER, 0)))
        );
        puppet.learn(address(executor), callback);
        puppet.learn(address(executor), callback);
        Executor.Plan memory plan = flashOrder(1000e18, 0);
        plan.lender = address(puppet);

        vm.expectRevert(
            abi.encodeWithSelector(Executor.UnexpectedCallback.selector, address(puppet))
        );
        run(plan);
    }

    function testFuzz_what_many_hops_left_is_swept(uint256 left) public {
        left = within(left, 1, 1e18);
        Executor.Plan memory plan = _split(BALANCER, 9e18);
        plan.hops[3] = hopV2(address(token), plan.hops[3].amountIn - left);
        plan.minOut = plan.hops[3].amountOut - 9e18;

        run(plan);

        equal(left, token.balanceOf(owner), "left over");
        assertNothingLeft();
    }
}
