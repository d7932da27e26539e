// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {Habit, WeirdToken} from "./mocks/Tokens.sol";
import {equal, named, vm, within} from "./Vm.sol";
import {World} from "./World.sol";

/// @dev What a plan does when everything around it behaves: results, guards, tips, ownership.
contract ExecutorTest is World {
    function setUp() public {
        build(Habit.PLAIN);
    }

    /*//////////////////////////////////////////////////////////////
                                 RESULTS
    //////////////////////////////////////////////////////////////*/

    function testFuzz_cycle_gains_exactly_what_was_computed(uint8 funding, uint256 amount) public {
        funding = uint8(within(funding, BALANCER, V3_FLASH));
        amount = within(amount, 1e15, 15e18);
        Executor.Plan memory plan = cycle(funding, amount);

        run(plan);

        equal(plan.minOut, weth.balanceOf(owner), "gain");
        assertNothingLeft();
    }

    function testFuzz_cycle_on_own_capital_returns_it_with_the_gain(uint256 amount) public {
        amount = within(amount, 1e15, 15e18);
        fund(weth, amount);
        Executor.Plan memory plan = cycle(OWN, amount);

        run(plan);

        equal(amount + plan.minOut, weth.balanceOf(owner), "capital and gain");
        assertNothingLeft();
    }

    function testFuzz_swap_pulls_exactly_its_input(uint256 amount, uint256 rest) public {
        amount = within(amount, 1e9, 100_000e18);
        rest = within(rest, 0, 100_000e18);
        fund(token, amount);
        token.mint(owner, rest);
        Executor.Plan memory plan = swap(address(token), address(weth), amount);

        run(plan);

        equal(rest, token.balanceOf(owner), "what was not part of the plan");
        equal(plan.minOut, weth.balanceOf(owner), "output");
        assertNothingLeft();
    }

    function test_a_lender_that_charges_is_repaid_with_its_fee() public {
        vault.setFee(900);
        uint256 lent = weth.balanceOf(address(vault));
        Executor.Plan memory plan = cycle(BALANCER, 10e18);

        run(plan);

        equal(lent + 10e18 * 900 / 1e6, weth.balanceOf(address(vault)), "vault");
        equal(plan.minOut, weth.balanceOf(owner), "gain");
    }

    /// @dev One wei less would leave the pair's product short: 1000 / 997 is rounded up.
    function testFuzz_the_pair_is_repaid_to_the_last_wei(uint256 amount) public {
        amount = within(amount, 1e15, 15e18);
        uint256 lent = weth.balanceOf(address(lenderPair));

        run(cycle(V2_FLASH, amount));

        uint256 repaid = weth.balanceOf(address(lenderPair)) - lent + amount;
        equal(true, repaid * 997 >= amount * 1000, "repaid in full");
        equal(true, (repaid - 1) * 997 < amount * 1000, "and no wei more");
    }

    function test_an_exact_repayment_is_not_rounded_up() public {
        uint256 lent = weth.balanceOf(address(lenderPair));

        run(cycle(V2_FLASH, 997e15));

        equal(lent + 3e15, weth.balanceOf(address(lenderPair)), "repaid 1000 for 997");
    }

    function test_three_hops_run_in_order() public {
        Executor.Plan memory plan = cycle(BALANCER, 10e18);
        Executor.Hop[] memory hops = new Executor.Hop[](3);
        uint256 half = plan.hops[0].amountOut / 2;
        uint256 rest = plan.hops[0].amountOut - half;
        (hops[0], hops[1], hops[2]) = (plan.hops[0], plan.hops[1], plan.hops[1]);
        hops[1].amountIn = half;
        hops[1].amountOut = pair.quote(address(token), half);
        hops[2] = Executor.Hop(
            address(lenderPair),
            0,
            address(token),
            address(weth),
            rest,
            lenderPair.quote(address(token), rest)
        );
        plan.hops = hops;
        plan.minOut = hops[1].amountOut + hops[2].amountOut - 10e18;

        run(plan);

        equal(plan.minOut, weth.balanceOf(owner), "gain of the split");
        assertNothingLeft();
    }

    function test_tokens_left_between_hops_are_swept_to_the_owner() public {
        Executor.Plan memory plan = cycle(BALANCER, 10e18);
        plan.hops[1].amountIn -= 77;
        plan.hops[1].amountOut = pair.quote(address(token), plan.hops[1].amountIn);
        plan.minOut = plan.hops[1].amountOut - 10e18;

        run(plan);

        equal(77, token.balanceOf(owner), "left between the hops");
        assertNothingLeft();
    }

    function test_input_that_no_hop_took_goes_back() public {
        fund(token, 1e18);
        Executor.Plan memory plan = swap(address(token), address(weth), 1e18 - 77);
        plan.amountIn = 1e18;

        run(plan);

        equal(77, token.balanceOf(owner), "input left");
        assertNothingLeft();
    }

    function test_a_token_that_only_a_hop_names_is_swept_too() public {
        token.mint(address(executor), 100e18);
        fund(weth, 1e18);
        Executor.Plan memory plan = swap(address(token), address(weth), 60e18);
        (plan.tokenIn, plan.amountIn) = (address(weth), 1e18);

        run(plan);

        equal(40e18, token.balanceOf(owner), "stray tokens that were not sold");
        equal(1e18 + plan.minOut, weth.balanceOf(owner), "capital and what they brought");
        assertNothingLeft();
    }

    /*//////////////////////////////////////////////////////////////
                                 MINIMUM
    //////////////////////////////////////////////////////////////*/

    function testFuzz_one_wei_below_the_minimum_reverts(uint8 funding, uint256 amount) public {
        funding = uint8(within(funding, BALANCER, V3_FLASH));
        amount = within(amount, 1e15, 15e18);
        Executor.Plan memory plan = cycle(funding, amount);
        plan.minOut += 1;

        vm.expectRevert(
            abi.encodeWithSelector(Executor.ProfitTooLow.selector, plan.minOut - 1, plan.minOut)
        );
        run(plan);
    }

    function test_a_swap_below_its_minimum_reverts() public {
        fund(token, 1e18);
        Executor.Plan memory plan = swap(address(token), address(weth), 1e18);
        plan.minOut += 1;

        vm.expectRevert(
            abi.encodeWithSelector(Executor.ProfitTooLow.selector, plan.minOut - 1, plan.minOut)
        );
        run(plan);
    }

    function test_a_loss_reverts_even_with_no_minimum() public {
        fund(weth, 100e18);
        Executor.Plan memory plan = swap(address(weth), address(token), 100e18);
        uint256 bought = plan.minOut;
        Executor.Hop[] memory hops = new Executor.Hop[](2);
        hops[0] = plan.hops[0];
        uint256 back = lenderPair.quote(address(token), bought);
        hops[1] = Executor.Hop(address(lenderPair), 0, address(token), address(weth), bought, back);
        (plan.hops, plan.tokenOut, plan.minOut) = (hops, address(weth), 0);

        vm.expectRevert(abi.encodeWithSelector(Executor.ProfitTooLow.selector, 0, 0));
        run(plan);
    }

    function test_what_was_here_before_is_no_gain_but_is_swept() public {
        weth.mint(address(executor), 5e18);
        Executor.Plan memory plan = cycle(BALANCER, 10e18);
        plan.minOut += 1;

        vm.expectRevert(
            abi.encodeWithSelector(Executor.ProfitTooLow.selector, plan.minOut - 1, plan.minOut)
        );
        run(plan);
        plan.minOut -= 1;
        run(plan);

        equal(5e18 + plan.minOut, weth.balanceOf(owner), "stray tokens and gain");
        assertNothingLeft();
    }

    /*//////////////////////////////////////////////////////////////
                                  TIPS
    //////////////////////////////////////////////////////////////*/

    function testFuzz_tip_comes_from_value_first_then_from_the_gain(uint256 tip, uint256 value)
        public
    {
        Executor.Plan memory plan = cycle(BALANCER, 10e18);
        uint256 whole = plan.minOut;
        value = within(value, 0, 2e18);
        tip = within(tip, 0, whole + value);
        uint256 unwrapped = tip > value ? tip - value : 0;
        (plan.tip, plan.minOut) = (tip, whole - unwrapped);
        uint256 native = owner.balance;

        run(plan, value);

        equal(tip, builder.balance, "tip");
        equal(whole - unwrapped, weth.balanceOf(owner), "gain after the tip");
        equal(native - (tip - unwrapped), owner.balance, "value that was not needed");
        assertNothingLeft();
    }

    function test_a_tip_counts_against_the_minimum() public {
        Executor.Plan memory plan = cycle(BALANCER, 10e18);
        plan.tip = 1;

        vm.expectRevert(
            abi.encodeWithSelector(Executor.ProfitTooLow.selector, plan.minOut - 1, plan.minOut)
        );
        run(plan);
    }

    function test_a_tip_above_all_there_is_reverts() public {
        Executor.Plan memory plan = cycle(BALANCER, 10e18);
        (plan.tip, plan.minOut) = (plan.minOut + 8, 0);
        uint256 have = plan.tip - 1;

        vm.expectRevert(abi.encodeWithSelector(Executor.TipUnfunded.selector, have, plan.tip));
        run(plan, 7);
    }

    function test_a_tip_out_of_another_token_reverts() public {
        fund(weth, 1e18);
        Executor.Plan memory plan = swap(address(weth), address(token), 1e18);
        plan.tip = 10;

        vm.expectRevert(abi.encodeWithSelector(Executor.TipUnfunded.selector, 9, 10));
        run(plan, 9);
    }

    function test_a_tip_does_not_eat_the_capital() public {
        fund(weth, 10e18);
        Executor.Plan memory plan = cycle(OWN, 10e18);
        (plan.tip, plan.minOut) = (plan.minOut + 1, 0);

        vm.expectRevert(abi.encodeWithSelector(Executor.ProfitTooLow.selector, 0, 0));
        run(plan);
    }

    function test_a_builder_that_refuses_the_tip_undoes_the_trade() public {
        vm.coinbase(address(pair));
        Executor.Plan memory plan = cycle(BALANCER, 10e18);
        (plan.tip, plan.minOut) = (1, 0);

        vm.expectRevert(abi.encodeWithSelector(Executor.TransferFailed.selector, address(0)));
        run(plan);
    }

    /*//////////////////////////////////////////////////////////////
                                 GUARDS
    //////////////////////////////////////////////////////////////*/

    function test_guards_pass_in_their_block_only() public {
        Executor.Plan memory plan = cycle(BALANCER, 1e18);
        (plan.blockNumber, plan.parentHash) = (1000, blockhash(999));

        run(plan);

        equal(plan.minOut, weth.balanceOf(owner), "gain");
    }

    function test_another_block_reverts() public {
        Executor.Plan memory plan = cycle(BALANCER, 1e18);
        plan.blockNumber = 999;

        vm.expectRevert(abi.encodeWithSelector(Executor.WrongBlock.selector, 1000, 999));
        run(plan);
    }

    function test_another_parent_reverts() public {
        Executor.Plan memory plan = cycle(BALANCER, 1e18);
        plan.parentHash = blockhash(998);

        vm.expectRevert(
            abi.encodeWithSelector(Executor.WrongParent.selector, blockhash(999), plan.parentHash)
        );
        run(plan);
    }

    /*//////////////////////////////////////////////////////////////
                               OWN CAPITAL
    //////////////////////////////////////////////////////////////*/

    function testFuzz_an_allowance_above_the_input_is_refused(uint256 excess) public {
        excess = within(excess, 1, type(uint256).max - 1e18);
        token.mint(owner, 1e18);
        vm.prank(owner);
        token.approve(address(executor), 1e18 + excess);

        Executor.Plan memory plan = swap(address(token), address(weth), 1e18);
        vm.expectRevert(
            abi.encodeWithSelector(Executor.UnlimitedAllowance.selector, address(token))
        );
        run(plan);
    }

    function test_an_unlimited_allowance_is_used_once_the_owner_accepts_it() public {
        token.mint(owner, 1e18);
        vm.startPrank(owner);
        token.approve(address(executor), type(uint256).max);
        executor.setUnlimitedAllowance(true);
        vm.stopPrank();
        Executor.Plan memory plan = swap(address(token), address(weth), 1e18);

        run(plan);

        equal(plan.minOut, weth.balanceOf(owner), "output");
        equal(0, token.balanceOf(address(executor)), "token left");
    }

    function test_a_missing_allowance_is_named() public {
        fund(token, 1e18 - 1);
        Executor.Plan memory plan = swap(address(token), address(weth), 1e18);

        vm.expectRevert(
            abi.encodeWithSelector(
                Executor.AllowanceNotExact.selector, address(token), 1e18 - 1, 1e18
            )
        );
        run(plan);
    }

    function test_an_empty_account_is_a_failed_transfer() public {
        vm.prank(owner);
        token.approve(address(executor), 1e18);
        Executor.Plan memory plan = swap(address(token), address(weth), 1e18);

        vm.expectRevert(abi.encodeWithSelector(Executor.TransferFailed.selector, address(token)));
        run(plan);
    }

    /*//////////////////////////////////////////////////////////////
                                BAD PLANS
    //////////////////////////////////////////////////////////////*/

    function testFuzz_an_unknown_funding_reverts(uint8 funding) public {
        funding = uint8(within(funding, V3_FLASH + 1, type(uint8).max));
        Executor.Plan memory plan = cycle(BALANCER, 1e18);
        plan.funding = funding;

        vm.expectRevert(abi.encodeWithSelector(Executor.BadFunding.selector, funding));
        run(plan);
    }

    function testFuzz_an_unknown_hop_reverts(uint256 kind) public {
        vm.assume(kind > 1 && uint8(kind) != 2);
        Executor.Plan memory plan = cycle(BALANCER, 1e18);
        plan.hops[1].kind = kind;

        vm.expectRevert(abi.encodeWithSelector(Executor.BadHop.selector, 1, kind));
        run(plan);
    }

    function test_a_pool_that_gives_less_than_planned_reverts() public {
        Executor.Plan memory plan = cycle(BALANCER, 1e18);
        uint256 got = plan.hops[0].amountOut;
        plan.hops[0].amountOut += 1;

        vm.expectRevert(abi.encodeWithSelector(Executor.HopShort.selector, 0, got, got + 1));
        run(plan);
    }

    function test_a_pair_that_moved_reverts() public {
        Executor.Plan memory plan = cycle(BALANCER, 1e18);
        plan.hops[1].amountOut += 1e15;

        vm.expectRevert("UniswapV2: K");
        run(plan);
    }

    function test_an_input_above_int256_is_not_taken_for_an_output() public {
        Executor.Plan memory plan = cycle(BALANCER, 1e18);
        plan.hops[0].amountIn = uint256(type(int256).max) + 1;

        vm.expectRevert(
            abi.encodeWithSelector(Executor.HopShort.selector, 0, 0, plan.hops[0].amountOut)
        );
        run(plan);
    }

    /*//////////////////////////////////////////////////////////////
                                  OWNER
    //////////////////////////////////////////////////////////////*/

    function testFuzz_only_the_owner_gets_in(address stranger) public {
        vm.assume(stranger != owner);
        Executor.Plan memory plan = cycle(BALANCER, 1e18);
        bytes memory refusal = abi.encodeWithSelector(Executor.NotOwner.selector);
        vm.startPrank(stranger);

        vm.expectRevert(refusal);
        executor.execute(plan);
        vm.expectRevert(refusal);
        executor.withdraw(address(weth));
        vm.expectRevert(refusal);
        executor.setUnlimitedAllowance(true);
    }

    function test_withdraw_rescues_tokens_and_native() public {
        token.mint(address(executor), 5);
        vm.deal(address(executor), 7);
        uint256 native = owner.balance;
        vm.startPrank(owner);

        executor.withdraw(address(token));
        executor.withdraw(address(0));
        vm.stopPrank();

        equal(5, token.balanceOf(owner), "token");
        equal(native + 7, owner.balance, "native");
        assertNothingLeft();
    }

    function test_stray_native_is_refused() public {
        address stranger = named("stranger");
        vm.deal(stranger, 1);
        vm.prank(stranger);
        (bool succeeded, bytes memory answer) = address(executor).call{value: 1}("");

        equal(false, succeeded, "payment accepted");
        equal(
            true,
            keccak256(answer)
                == keccak256(
                    abi.encodeWithSelector(Executor.UnexpectedCallback.selector, stranger)
                ),
            "reason"
        );
    }

    function test_the_deployer_is_the_owner() public view {
        equal(owner, executor.owner(), "owner");
        equal(address(weth), executor.WETH(), "WETH");
        equal(false, executor.unlimitedAllowance(), "unlimited by default");
    }
}
