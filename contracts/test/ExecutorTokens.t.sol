// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {Puppet} from "./mocks/Puppet.sol";
import {Habit} from "./mocks/Tokens.sol";
import {equal, named, vm, within} from "./Vm.sol";
import {World} from "./World.sol";

/// @dev Every path a token takes, over every habit a token has.
contract ExecutorTokensTest is World {
    function _habit(uint8 seed) internal pure returns (Habit) {
        return Habit(within(seed, 0, uint8(Habit.FALSE)));
    }

    /*//////////////////////////////////////////////////////////////
                           TOKENS THAT DELIVER
    //////////////////////////////////////////////////////////////*/

    function testFuzz_a_cycle_through_any_token(uint8 habit, uint8 funding, uint256 amount) public {
        build(_habit(habit));
        funding = uint8(within(funding, OWN, V3_FLASH));
        amount = within(amount, 1e15, 15e18);
        if (funding == OWN) fund(weth, amount);
        Executor.Plan memory plan = cycle(funding, amount);

        run(plan);

        uint256 capital = funding == OWN ? amount : 0;
        equal(capital + plan.minOut, weth.balanceOf(owner), "gain");
        assertNothingLeft();
    }

    function testFuzz_any_token_as_own_input(uint8 habit, uint256 amount) public {
        build(_habit(habit));
        amount = within(amount, 1e9, 100_000e18);
        fund(token, amount);
        Executor.Plan memory plan = swap(address(token), address(weth), amount);

        run(plan);

        equal(plan.minOut, weth.balanceOf(owner), "output");
        equal(0, token.balanceOf(owner), "input");
        assertNothingLeft();
    }

    function testFuzz_any_token_as_output(uint8 habit, uint256 amount) public {
        build(_habit(habit));
        amount = within(amount, 1e9, 50e18);
        fund(weth, amount);
        Executor.Plan memory plan = swap(address(weth), address(token), amount);

        run(plan);

        equal(plan.minOut, token.balanceOf(owner), "output");
        assertNothingLeft();
    }

    function testFuzz_any_token_lent(uint8 habit, uint8 funding, uint256 amount) public {
        build(_habit(habit));
        funding = uint8(within(funding, BALANCER, V3_FLASH));
        amount = within(amount, 1e18, 20_000e18);
        Executor.Plan memory plan = _tokenCycle(funding, amount);

        run(plan);

        equal(plan.minOut, token.balanceOf(owner), "gain");
        assertNothingLeft();
    }

    /// @dev The token where it is dear, and back where it is cheap.
    function _tokenCycle(uint8 funding, uint256 amount)
        internal
        view
        returns (Executor.Plan memory plan)
    {
        uint256 got = pair.quote(address(token), amount);
        uint256 back = pool.quote(address(weth), got);
        plan.funding = funding;
        plan.lender = lender(funding);
        (plan.tokenIn, plan.tokenOut, plan.amountIn) = (address(token), address(token), amount);
        plan.minOut = back - amount - lendingFee(funding, amount);
        plan.hops = new Executor.Hop[](2);
        plan.hops[0] = Executor.Hop(address(pair), 0, address(token), address(weth), amount, got);
        plan.hops[1] = Executor.Hop(address(pool), 1, address(weth), address(token), got, back);
    }

    /*//////////////////////////////////////////////////////////////
                          TOKENS THAT DO NOT
    //////////////////////////////////////////////////////////////*/

    function testFuzz_a_fee_on_an_own_input_is_a_failed_transfer(uint256 amount) public {
        build(Habit.FEE);
        amount = within(amount, 1e9, 100_000e18);
        fund(token, amount);
        Executor.Plan memory plan = swap(address(token), address(weth), amount);

        vm.expectRevert(abi.encodeWithSelector(Executor.TransferFailed.selector, address(token)));
        run(plan);
    }

    /// @dev Otherwise tokens that happen to lie here would pay the fee.
    function test_a_fee_on_an_own_input_is_not_made_up_for_by_stray_tokens() public {
        build(Habit.FEE);
        token.mint(address(executor), 1e18);
        fund(token, 1e18);
        Executor.Plan memory plan = swap(address(token), address(weth), 1e18);
        plan.hops[0].amountOut = plan.minOut = plan.minOut * 98 / 100;

        vm.expectRevert(abi.encodeWithSelector(Executor.TransferFailed.selector, address(token)));
        run(plan);
    }

    function testFuzz_a_fee_on_the_way_reverts(uint8 funding, uint256 amount) public {
        build(Habit.FEE);
        funding = uint8(within(funding, OWN, V3_FLASH));
        amount = within(amount, 1e15, 15e18);
        if (funding == OWN) fund(weth, amount);
        Executor.Plan memory plan = cycle(funding, amount);
        plan.minOut = 0;

        vm.expectRevert(abi.encodeWithSelector(Executor.TransferFailed.selector, address(token)));
        run(plan);
    }

    function testFuzz_a_fee_on_the_output_is_not_received(uint256 amount) public {
        build(Habit.FEE);
        amount = within(amount, 1e9, 50e18);
        fund(weth, amount);
        Executor.Plan memory plan = swap(address(weth), address(token), amount);
        uint256 received = plan.minOut - plan.minOut / 100;

        vm.expectRevert(
            abi.encodeWithSelector(Executor.ProfitTooLow.selector, received, plan.minOut)
        );
        run(plan);
    }

    function testFuzz_a_fee_on_a_loan_reverts(uint8 funding, uint256 amount) public {
        build(Habit.FEE);
        funding = uint8(within(funding, BALANCER, V3_FLASH));
        amount = within(amount, 1e18, 20_000e18);
        Executor.Plan memory plan = _tokenCycle(funding, amount);
        plan.minOut = 0;

        vm.expectRevert(abi.encodeWithSelector(Executor.TransferFailed.selector, address(token)));
        run(plan);
    }

    function test_a_token_that_only_says_false_is_a_failed_transfer() public {
        build(Habit.FALSE);
        vm.prank(owner);
        token.approve(address(executor), 1e18);
        Executor.Plan memory plan = swap(address(token), address(weth), 1e18);

        vm.expectRevert(abi.encodeWithSelector(Executor.TransferFailed.selector, address(token)));
        run(plan);
    }

    /// @dev A hop that has less than it should send is where a token's refusal must be heard:
    /// true is not returned, false is returned, or nothing at all comes with the revert.
    function testFuzz_a_refused_transfer_is_heard(uint8 habit) public {
        build(_habit(habit));
        Executor.Plan memory plan = cycle(BALANCER, 1e18);
        plan.hops[1].amountIn += 1;

        vm.expectRevert(abi.encodeWithSelector(Executor.TransferFailed.selector, address(token)));
        run(plan);
    }

    function test_an_answer_that_is_no_boolean_is_a_failed_transfer() public {
        build(Habit.PLAIN);
        bytes[2] memory answers = [bytes(hex"01"), abi.encode(uint256(2))];
        for (uint256 i = 0; i < answers.length; ++i) {
            Puppet odd = new Puppet();
            odd.say(answers[i]);
            Executor.Plan memory plan = cycle(BALANCER, 1e18);
            plan.hops[1].tokenIn = address(odd);

            vm.expectRevert(abi.encodeWithSelector(Executor.TransferFailed.selector, address(odd)));
            run(plan);
        }
    }

    function test_an_account_without_code_is_no_token() public {
        build(Habit.PLAIN);
        address nothing = named("nothing");
        Executor.Plan memory plan = cycle(BALANCER, 1e18);
        plan.hops[1].tokenIn = nothing;

        vm.expectRevert(abi.encodeWithSelector(Executor.TransferFailed.selector, nothing));
        run(plan);
    }

    /*//////////////////////////////////////////////////////////////
                                 USDT
    //////////////////////////////////////////////////////////////*/

    /// @dev Because a plan uses its allowance up, the next exact one is again "from zero".
    function test_two_plans_in_a_row_need_no_reset_of_a_silent_token() public {
        build(Habit.SILENT);
        for (uint256 i = 0; i < 2; ++i) {
            fund(token, 100e18);
            run(swap(address(token), address(weth), 100e18));
        }

        equal(0, token.balanceOf(owner), "input");
        assertNothingLeft();
    }
}
