// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {Puppet} from "./mocks/Puppet.sol";
import {Habit} from "./mocks/Tokens.sol";
import {equal, vm, within} from "./Vm.sol";
import {World} from "./World.sol";

/// @dev Several swaps with own capital in one transaction: each exact, all or none.
contract ExecutorBatchTest is World {
    function setUp() public {
        build(Habit.PLAIN);
    }

    function _send(Executor.Batch memory wish, uint256 value) internal {
        vm.prank(owner);
        executor.executeBatch{value: value}(wish);
    }

    /*//////////////////////////////////////////////////////////////
                                 RESULTS
    //////////////////////////////////////////////////////////////*/

    function testFuzz_opposed_swaps_each_give_what_was_computed(
        uint8 habit,
        uint256 sold,
        uint256 spent
    ) public {
        build(Habit(within(habit, 0, uint8(Habit.FALSE))));
        sold = within(sold, 1e15, 15e18);
        spent = within(spent, 1e15, 30_000e18);
        fund(weth, sold);
        fund(token, spent);
        Executor.Batch memory wish = batch(sold, spent);

        _send(wish, 0);

        equal(wish.assets[0].minimum, weth.balanceOf(owner), "WETH bought");
        equal(wish.assets[1].minimum, token.balanceOf(owner), "token bought");
        assertNothingLeft();
    }

    function testFuzz_a_batch_gives_what_its_parts_give_alone(uint256 sold, uint256 spent) public {
        sold = within(sold, 1e15, 15e18);
        spent = within(spent, 1e15, 30_000e18);
        fund(weth, sold);
        fund(token, spent);
        Executor.Plan memory first = swap(address(weth), address(token), sold);
        first.minOut = pool.quote(address(weth), sold);
        first.hops[0].pool = address(pool);
        first.hops[0].kind = 1;
        first.hops[0].amountOut = first.minOut;
        Executor.Plan memory second = swap(address(token), address(weth), spent);
        Executor.Batch memory wish = batch(sold, spent);
        uint256 start = vm.snapshotState();
        run(first);
        run(second);
        (uint256 wethAlone, uint256 tokenAlone) = (weth.balanceOf(owner), token.balanceOf(owner));
        vm.revertToState(start);

        _send(wish, 0);

        equal(wethAlone, weth.balanceOf(owner), "WETH");
        equal(tokenAlone, token.balanceOf(owner), "token");
    }

    /// @dev The second hop spends what the first has just bought: only the difference is pulled.
    function testFuzz_one_part_spends_what_another_bought(uint256 sold) public {
        sold = within(sold, 1e15, 15e18);
        fund(weth, sold);
        uint256 bought = pool.quote(address(weth), sold);
        Executor.Batch memory wish = batch(sold, bought);
        wish.assets[1].pull = 0;
        wish.assets[1].minimum = 0;

        _send(wish, 0);

        equal(wish.assets[0].minimum, weth.balanceOf(owner), "WETH bought back");
        equal(0, token.balanceOf(owner), "nothing of the token moved");
        assertNothingLeft();
    }

    function testFuzz_the_tip_is_sent_along_and_the_rest_returned(uint256 tip, uint256 rest)
        public
    {
        tip = within(tip, 0, 1 ether);
        rest = within(rest, 0, 1 ether);
        fund(weth, 1e18);
        fund(token, 1000e18);
        Executor.Batch memory wish = batch(1e18, 1000e18);
        wish.tip = tip;
        uint256 before = owner.balance;

        _send(wish, tip + rest);

        equal(tip, builder.balance, "tip");
        equal(before - tip, owner.balance, "the rest came back");
        assertNothingLeft();
    }

    function test_what_strangers_left_here_is_not_counted_as_bought() public {
        fund(weth, 1e18);
        fund(token, 1000e18);
        Executor.Batch memory wish = batch(1e18, 1000e18);
        wish.assets[1].minimum += 1;
        token.mint(address(executor), 1);

        vm.expectRevert(
            abi.encodeWithSelector(
                Executor.AssetShort.selector,
                address(token),
                wish.assets[1].minimum - 1,
                wish.assets[1].minimum
            )
        );
        _send(wish, 0);
    }

    /*//////////////////////////////////////////////////////////////
                                 GUARDS
    //////////////////////////////////////////////////////////////*/

    function test_only_the_owner_may_send_one(address stranger) public {
        if (stranger == owner) return;
        Executor.Batch memory wish = batch(1e18, 1000e18);

        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(Executor.NotOwner.selector));
        executor.executeBatch(wish);
    }

    function test_another_block_is_refused() public {
        Executor.Batch memory wish = batch(1e18, 1000e18);
        wish.blockNumber = block.number + 1;

        vm.expectRevert(
            abi.encodeWithSelector(Executor.WrongBlock.selector, block.number, block.number + 1)
        );
        _send(wish, 0);
    }

    function test_another_parent_is_refused() public {
        Executor.Batch memory wish = batch(1e18, 1000e18);
        wish.parentHash = keccak256("other");

        vm.expectRevert(
            abi.encodeWithSelector(
                Executor.WrongParent.selector, blockhash(block.number - 1), wish.parentHash
            )
        );
        _send(wish, 0);
    }

    function test_a_tip_that_is_not_sent_along_is_refused() public {
        Executor.Batch memory wish = batch(1e18, 1000e18);
        wish.tip = 5;

        vm.expectRevert(abi.encodeWithSelector(Executor.TipUnfunded.selector, 4, 5));
        _send(wish, 4);
    }

    function test_an_allowance_above_the_input_is_refused() public {
        fund(weth, 1e18);
        fund(token, 1000e18);
        vm.prank(owner);
        token.approve(address(executor), 1001e18);
        Executor.Batch memory wish = batch(1e18, 1000e18);

        vm.expectRevert(
            abi.encodeWithSelector(Executor.UnlimitedAllowance.selector, address(token))
        );
        _send(wish, 0);
    }

    /// @dev One part's failure is everybody's: no part is left half done.
    function test_a_part_that_falls_short_undoes_all() public {
        fund(weth, 1e18);
        fund(token, 1000e18);
        Executor.Batch memory wish = batch(1e18, 1000e18);
        wish.hops[0].amountOut += 1;

        vm.expectRevert(
            abi.encodeWithSelector(
                Executor.HopShort.selector, 0, wish.hops[0].amountOut - 1, wish.hops[0].amountOut
            )
        );
        _send(wish, 0);

        equal(1e18, weth.balanceOf(owner), "WETH stays");
        equal(1000e18, token.balanceOf(owner), "token stays");
    }

    /// @dev A pair that keeps its input and gives nothing cannot hide behind another part's output.
    function test_a_venue_that_gives_nothing_is_noticed() public {
        fund(weth, 2e18);
        Puppet thief = new Puppet();
        Executor.Batch memory wish = batch(1e18, 1000e18);
        uint256 bought = wish.hops[0].amountOut;
        wish.hops[1] = Executor.Hop(address(thief), 0, address(weth), address(token), 1e18, 1000e18);
        wish.assets[0] = Executor.Asset(address(weth), 2e18, 0);
        wish.assets[1] = Executor.Asset(address(token), 0, bought + 1000e18);

        vm.expectRevert(
            abi.encodeWithSelector(
                Executor.AssetShort.selector, address(token), bought, bought + 1000e18
            )
        );
        _send(wish, 0);
    }

    function test_nobody_may_call_back_in_between() public {
        fund(weth, 2e18);
        Puppet thief = new Puppet();
        Executor.Batch memory wish = batch(1e18, 1000e18);
        bytes memory steal = abi.encodeCall(
            executor.uniswapV3SwapCallback, (int256(1), int256(0), abi.encode(address(token)))
        );
        thief.learn(address(executor), steal);
        wish.hops[1] = Executor.Hop(address(thief), 0, address(weth), address(token), 1e18, 1000e18);
        wish.assets[0] = Executor.Asset(address(weth), 2e18, 0);
        wish.assets[1] = Executor.Asset(address(token), 0, 0);

        vm.expectRevert(
            abi.encodeWithSelector(Executor.UnexpectedCallback.selector, address(thief))
        );
        _send(wish, 0);
    }
}
