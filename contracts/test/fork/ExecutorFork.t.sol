// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../../src/Executor.sol";
import {equal, named, vm} from "../Vm.sol";
import {IToken, Mainnet} from "./Mainnet.sol";

/// @dev The executor on genuine protocol bytecode, with lenders and tokens as they are deployed.
contract ExecutorForkTest is Mainnet {
    uint8 internal constant OWN = 0;
    uint8 internal constant BALANCER = 1;
    uint8 internal constant V2_FLASH = 2;
    uint8 internal constant V3_FLASH = 3;

    /// @dev A plan for the gap that a large sale of WETH for USDC leaves in the V2 pair.
    function _twoHops(uint8 funding, address lender) internal returns (Executor.Plan memory plan) {
        uint256 depth = _wethReserve(V2_USDC_WETH);
        _sellWeth(V2_USDC_WETH, depth / 20, named("whale"));
        uint256 amount = _least(depth / 100, IToken(WETH).balanceOf(VAULT) / 2);
        plan.hops = new Executor.Hop[](2);
        plan.hops[0] = _hopV3(V3_USDC_WETH_500, WETH, amount);
        plan.hops[1] = _hopV2(V2_USDC_WETH, USDC, plan.hops[0].amountOut);
        _fill(plan, funding, lender);
    }

    /// @dev The same by way of a second stable token, USDT among them.
    function _threeHops(uint8 funding, address lender)
        internal
        returns (Executor.Plan memory plan)
    {
        uint256 depth = _wethReserve(V2_WETH_USDT);
        _sellWeth(V2_WETH_USDT, depth / 20, named("whale"));
        uint256 amount = _least(depth / 100, IToken(WETH).balanceOf(VAULT) / 2);
        plan.hops = new Executor.Hop[](3);
        plan.hops[0] = _hopV3(V3_USDC_WETH_500, WETH, amount);
        plan.hops[1] = _hopV3(V3_USDC_USDT_100, USDC, plan.hops[0].amountOut);
        plan.hops[2] = _hopV2(V2_WETH_USDT, USDT, plan.hops[1].amountOut);
        _fill(plan, funding, lender);
    }

    function _least(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }

    /// @dev Ask for the whole gain: the last output less the loan and its fee.
    function _fill(Executor.Plan memory plan, uint8 funding, address lender) internal pure {
        uint256 amount = plan.hops[0].amountIn;
        uint256 fee = 0;
        if (funding == V2_FLASH) fee = (amount * 1000 + 996) / 997 - amount;
        if (funding == V3_FLASH) fee = (amount * 3000 + 999_999) / 1e6;
        (plan.funding, plan.lender) = (funding, lender);
        (plan.tokenIn, plan.tokenOut, plan.amountIn) = (WETH, WETH, amount);
        plan.minOut = plan.hops[plan.hops.length - 1].amountOut - amount - fee;
    }

    function _run(Executor.Plan memory plan) internal {
        vm.prank(owner);
        executor.execute(plan);
    }

    function _assertGain(Executor.Plan memory plan) internal view {
        equal(true, plan.minOut > 0, "a gap to close");
        equal(plan.minOut, IToken(WETH).balanceOf(owner), "gain as computed");
        _assertNothingLeft();
    }

    /*//////////////////////////////////////////////////////////////
                                 FUNDING
    //////////////////////////////////////////////////////////////*/

    function test_two_hops_on_a_balancer_loan() public {
        Executor.Plan memory plan = _twoHops(BALANCER, VAULT);
        _run(plan);
        _assertGain(plan);
    }

    function test_two_hops_on_a_pairs_loan() public {
        Executor.Plan memory plan = _twoHops(V2_FLASH, V2_WETH_USDT);
        _run(plan);
        _assertGain(plan);
    }

    function test_two_hops_on_a_pools_loan() public {
        Executor.Plan memory plan = _twoHops(V3_FLASH, V3_USDC_WETH_3000);
        _run(plan);
        _assertGain(plan);
    }

    function test_three_hops_on_a_balancer_loan() public {
        Executor.Plan memory plan = _threeHops(BALANCER, VAULT);
        _run(plan);
        _assertGain(plan);
    }

    function test_three_hops_on_a_pairs_loan() public {
        Executor.Plan memory plan = _threeHops(V2_FLASH, V2_USDC_WETH);
        _run(plan);
        _assertGain(plan);
    }

    function test_three_hops_on_a_pools_loan() public {
        Executor.Plan memory plan = _threeHops(V3_FLASH, V3_USDC_WETH_3000);
        _run(plan);
        _assertGain(plan);
    }

    function test_two_hops_on_own_capital() public {
        Executor.Plan memory plan = _twoHops(OWN, address(0));
        vm.deal(owner, plan.amountIn);
        vm.prank(owner);
        IToken(WETH).deposit{value: plan.amountIn}();
        _approve(WETH, plan.amountIn);

        _run(plan);

        equal(plan.amountIn + plan.minOut, IToken(WETH).balanceOf(owner), "capital and gain");
        _assertNothingLeft();
    }

    function test_a_tip_is_unwrapped_from_the_gain() public {
        Executor.Plan memory plan = _twoHops(BALANCER, VAULT);
        plan.tip = plan.minOut / 2;
        plan.minOut -= plan.tip;
        uint256 before = builder.balance;

        _run(plan);

        equal(before + plan.tip, builder.balance, "tip");
        _assertGain(plan);
    }

    /*//////////////////////////////////////////////////////////////
                               OWN CAPITAL
    //////////////////////////////////////////////////////////////*/

    /// @dev The owner gets USDT and a plan that sells it for WETH.
    function _sellTether() internal returns (Executor.Plan memory plan) {
        uint256 amount = _sellWeth(V2_WETH_USDT, _wethReserve(V2_WETH_USDT) / 100, owner);
        plan.hops = new Executor.Hop[](1);
        plan.hops[0] = _hopV2(V2_WETH_USDT, USDT, amount);
        (plan.tokenIn, plan.tokenOut, plan.amountIn) = (USDT, WETH, amount);
        plan.minOut = plan.hops[0].amountOut;
    }

    function test_tether_is_pulled_by_an_exact_allowance() public {
        Executor.Plan memory plan = _sellTether();
        equal(true, _approve(USDT, plan.amountIn), "approval");

        _run(plan);

        equal(0, IToken(USDT).balanceOf(owner), "input");
        _assertGain(plan);
        equal(true, _approve(USDT, 1), "the next approval starts from zero again");
    }

    function test_tether_changes_an_allowance_only_by_way_of_zero() public {
        equal(true, _approve(USDT, 5), "from zero");
        equal(false, _approve(USDT, 6), "from five");
        equal(true, _approve(USDT, 0), "to zero");
        equal(true, _approve(USDT, 6), "from zero again");
    }

    function test_tether_comes_out_whole() public {
        uint256 amount = _wethReserve(V2_WETH_USDT) / 100;
        Executor.Plan memory plan;
        plan.hops = new Executor.Hop[](1);
        plan.hops[0] = _hopV2(V2_WETH_USDT, WETH, amount);
        (plan.tokenIn, plan.tokenOut, plan.amountIn) = (WETH, USDT, amount);
        plan.minOut = plan.hops[0].amountOut;
        vm.deal(owner, amount);
        vm.prank(owner);
        IToken(WETH).deposit{value: amount}();
        _approve(WETH, amount);

        _run(plan);

        equal(plan.minOut, IToken(USDT).balanceOf(owner), "output");
        _assertNothingLeft();
    }

    function test_an_unlimited_allowance_is_refused() public {
        Executor.Plan memory plan = _sellTether();
        _approve(USDT, type(uint256).max);

        vm.expectRevert(abi.encodeWithSelector(Executor.UnlimitedAllowance.selector, USDT));
        _run(plan);
    }

    /*//////////////////////////////////////////////////////////////
                                 GUARDS
    //////////////////////////////////////////////////////////////*/

    function test_the_right_block_on_the_right_parent_passes() public {
        Executor.Plan memory plan = _twoHops(BALANCER, VAULT);
        (plan.blockNumber, plan.parentHash) = (block.number, blockhash(block.number - 1));
        equal(true, plan.parentHash != 0, "a parent");

        _run(plan);

        _assertGain(plan);
    }

    function test_another_block_reverts() public {
        Executor.Plan memory plan = _twoHops(BALANCER, VAULT);
        plan.blockNumber = block.number + 1;

        vm.expectRevert(
            abi.encodeWithSelector(Executor.WrongBlock.selector, block.number, plan.blockNumber)
        );
        _run(plan);
    }

    function test_another_parent_reverts() public {
        Executor.Plan memory plan = _twoHops(BALANCER, VAULT);
        bytes32 parent = blockhash(block.number - 1);
        plan.parentHash = ~parent;

        vm.expectRevert(
            abi.encodeWithSelector(Executor.WrongParent.selector, parent, plan.parentHash)
        );
        _run(plan);
    }

    function test_a_leaked_plan_is_of_no_use_to_others() public {
        Executor.Plan memory plan = _twoHops(BALANCER, VAULT);

        vm.expectRevert(abi.encodeWithSelector(Executor.NotOwner.selector));
        vm.prank(named("thief"));
        executor.execute(plan);
    }

    function test_a_plan_that_others_ran_before_reverts() public {
        Executor.Plan memory plan = _twoHops(BALANCER, VAULT);
        vm.prank(named("thief"));
        Executor rival = new Executor(WETH);
        vm.prank(named("thief"));
        rival.execute(plan);

        vm.expectPartialRevert(Executor.HopShort.selector);
        _run(plan);
    }
}
