// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../src/Executor.sol";
import {Puppet} from "./mocks/Puppet.sol";
import {Habit, WeirdToken} from "./mocks/Tokens.sol";
import {equal, named, vm} from "./Vm.sol";
import {World} from "./World.sol";

/// @dev A pool and lender that takes its time: it does not call back when it should, only when it
/// is poked afterwards.
contract Mute {
    address internal immutable target;
    bytes internal callback;

    constructor(address target_, bytes memory callback_) {
        (target, callback) = (target_, callback_);
    }

    function swap(address, bool, int256, uint160, bytes calldata)
        external
        pure
        returns (int256, int256)
    {
        return (-1, -1);
    }

    function flashLoan(address, address[] calldata, uint256[] calldata, bytes calldata) external {}

    fallback() external {
        (bool succeeded, bytes memory said) = target.call(callback);
        if (!succeeded) {
            assembly ("memory-safe") {
                revert(add(said, 0x20), mload(said))
            }
        }
    }
}

/// @dev What venues, lenders and strangers can do when they are hostile: nothing that costs the
/// owner anything.
contract ExecutorCallbacksTest is World {
    Puppet internal puppet;
    Puppet internal accomplice;
    Mute internal mute;

    function setUp() public {
        build(Habit.PLAIN);
        puppet = new Puppet();
        accomplice = new Puppet();
    }

    function _refusal(address caller) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(Executor.UnexpectedCallback.selector, caller);
    }

    function _plan() internal view returns (bytes memory) {
        return abi.encode(cycle(BALANCER, 1e18));
    }

    function _callbacks() internal view returns (bytes[4] memory calls) {
        address[] memory tokens = new address[](1);
        uint256[] memory numbers = new uint256[](1);
        tokens[0] = address(weth);
        calls[0] = abi.encodeCall(Executor.receiveFlashLoan, (tokens, numbers, numbers, _plan()));
        calls[1] = abi.encodeCall(Executor.uniswapV2Call, (address(executor), 1, 0, _plan()));
        calls[2] = abi.encodeCall(Executor.uniswapV3FlashCallback, (0, 0, _plan()));
        calls[3] = _askFor(1);
    }

    function _askFor(int256 amount) internal view returns (bytes memory) {
        bytes memory data = abi.encode(address(weth));
        return abi.encodeCall(Executor.uniswapV3SwapCallback, (amount, -1, data));
    }

    /// @dev A plan whose first hop trades in the puppet as if it were a V3 pool.
    function _throughPuppet() internal view returns (Executor.Plan memory plan) {
        plan = cycle(BALANCER, 1e18);
        plan.hops[0].pool = address(puppet);
    }

    function _refuses(Executor.Plan memory plan, bytes memory reason) internal {
        vm.expectRevert(reason);
        run(plan);
    }

    /*//////////////////////////////////////////////////////////////
                                STRANGERS
    //////////////////////////////////////////////////////////////*/

    function test_no_callback_is_open_when_nothing_runs() public {
        address stranger = named("stranger");
        weth.mint(address(executor), 1e18);
        bytes[4] memory calls = _callbacks();
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(stranger);
            (bool succeeded, bytes memory answer) = address(executor).call(calls[i]);

            equal(false, succeeded, "callback accepted");
            equal(true, keccak256(answer) == keccak256(_refusal(stranger)), "reason");
        }
    }

    function test_a_genuine_pair_sent_by_a_stranger_is_refused() public {
        bytes memory plan = _plan();

        vm.expectRevert(_refusal(address(lenderPair)));
        lenderPair.swap(1e18, 0, address(executor), plan);
    }

    function test_a_genuine_vault_sent_by_a_stranger_is_refused() public {
        address[] memory tokens = new address[](1);
        uint256[] memory amounts = new uint256[](1);
        (tokens[0], amounts[0]) = (address(weth), 1e18);
        bytes memory plan = _plan();

        vm.expectRevert(_refusal(address(vault)));
        vault.flashLoan(address(executor), tokens, amounts, plan);
    }

    /// @dev Transient storage lasts for the transaction, so both calls must be in one.
    function thenPoke(Executor.Plan calldata plan) external {
        executor.execute(plan);
        (bool succeeded, bytes memory answer) = address(mute).call("");
        equal(false, succeeded, "callback accepted");
        equal(true, keccak256(answer) == keccak256(_refusal(address(mute))), "reason");
    }

    function test_a_pool_that_never_called_back_cannot_do_so_later() public {
        executor = new Executor(address(weth));
        weth.mint(address(this), 1e18);
        weth.approve(address(executor), 1e18);
        mute = new Mute(address(executor), _askFor(0));
        Executor.Plan memory plan = swap(address(weth), address(token), 1e18);
        plan.hops[0] = Executor.Hop(address(mute), 1, address(weth), address(token), 1e18, 1);
        plan.minOut = 0;

        this.thenPoke(plan);
    }

    function test_a_lender_that_never_called_back_cannot_do_so_later() public {
        bytes memory callback = _callbacks()[0];
        executor = new Executor(address(weth));
        mute = new Mute(address(executor), callback);
        Executor.Plan memory plan = cycle(BALANCER, 1e18);
        (plan.lender, plan.minOut) = (address(mute), 0);

        this.thenPoke(plan);
    }

    /*//////////////////////////////////////////////////////////////
                             HOSTILE VENUES
    //////////////////////////////////////////////////////////////*/

    function test_another_contract_cannot_answer_for_the_pool() public {
        accomplice.learn(address(executor), _askFor(1e18));
        puppet.learn(address(accomplice), "");

        _refuses(_throughPuppet(), _refusal(address(accomplice)));
    }

    function test_a_pool_calls_back_only_once() public {
        puppet.learn(address(executor), _askFor(5e17));
        puppet.learn(address(executor), _askFor(5e17));

        _refuses(_throughPuppet(), _refusal(address(puppet)));
    }

    function test_a_pool_cannot_use_another_callback() public {
        bytes[4] memory calls = _callbacks();
        for (uint256 i = 0; i < 3; ++i) {
            puppet = new Puppet();
            puppet.learn(address(executor), calls[i]);

            _refuses(_throughPuppet(), _refusal(address(puppet)));
        }
    }

    function test_a_pair_cannot_call_back_at_all() public {
        bytes[4] memory calls = _callbacks();
        for (uint256 i = 0; i < calls.length; ++i) {
            puppet = new Puppet();
            puppet.learn(address(executor), calls[i]);
            Executor.Plan memory plan = _throughPuppet();
            plan.hops[0].kind = 0;

            _refuses(plan, _refusal(address(puppet)));
        }
    }

    function test_a_pool_that_asks_for_more_gets_nothing() public {
        puppet.learn(address(executor), _askFor(1e18 + 1));

        _refuses(
            _throughPuppet(),
            abi.encodeWithSelector(Executor.TransferFailed.selector, address(weth))
        );
    }

    function test_a_pool_that_is_owed_nothing_gets_nothing() public {
        puppet.learn(address(executor), _askFor(-1));

        _refuses(
            _throughPuppet(),
            abi.encodeWithSelector(Executor.TransferFailed.selector, address(weth))
        );
    }

    function test_a_pool_that_keeps_the_input_undoes_everything() public {
        puppet.learn(address(executor), _askFor(1e18));
        puppet.say(abi.encode(int256(1e18), int256(0)));
        Executor.Plan memory plan = _throughPuppet();

        _refuses(
            plan, abi.encodeWithSelector(Executor.HopShort.selector, 0, 0, plan.hops[0].amountOut)
        );
    }

    /// @dev Whichever side of the trade is which, only what the pool gives counts as received.
    function test_a_pool_that_lies_about_its_output_undoes_everything() public {
        puppet.learn(address(executor), _askFor(1e18));
        puppet.say(abi.encode(-int256(1e40), -int256(1e40)));
        Executor.Plan memory plan = _throughPuppet();

        _refuses(plan, abi.encodeWithSelector(Executor.TransferFailed.selector, address(token)));
    }

    function test_a_venue_cannot_get_in_through_the_owners_functions() public {
        puppet.learn(address(executor), abi.encodeCall(Executor.withdraw, (address(weth))));

        _refuses(_throughPuppet(), abi.encodeWithSelector(Executor.NotOwner.selector));
    }

    /*//////////////////////////////////////////////////////////////
                             HOSTILE LENDERS
    //////////////////////////////////////////////////////////////*/

    function _fromPuppet() internal view returns (Executor.Plan memory plan) {
        plan = cycle(BALANCER, 1e18);
        plan.lender = address(puppet);
    }

    function test_a_lender_that_never_calls_back_changes_nothing() public {
        Executor.Plan memory plan = _fromPuppet();

        _refuses(plan, abi.encodeWithSelector(Executor.ProfitTooLow.selector, 0, plan.minOut));
    }

    function test_a_lender_that_swaps_the_plan_is_measured_by_the_original() public {
        weth.mint(address(puppet), 1e18);
        Executor.Plan memory other = cycle(BALANCER, 1e18);
        other.hops = new Executor.Hop[](0);
        other.minOut = 0;
        uint256[] memory none = new uint256[](1);
        puppet.learn(address(weth), abi.encodeCall(WeirdToken.transfer, (address(executor), 1e18)));
        puppet.learn(
            address(executor),
            abi.encodeCall(
                Executor.receiveFlashLoan, (new address[](1), none, none, abi.encode(other))
            )
        );
        Executor.Plan memory plan = _fromPuppet();

        _refuses(plan, abi.encodeWithSelector(Executor.ProfitTooLow.selector, 0, plan.minOut));
    }

    function test_a_lender_that_charges_too_much_undoes_everything() public {
        vault.setFee(200_000);
        Executor.Plan memory plan = cycle(V3_FLASH, 1e18);
        (plan.funding, plan.lender) = (BALANCER, address(vault));

        _refuses(plan, abi.encodeWithSelector(Executor.TransferFailed.selector, address(weth)));
    }

    function test_value_sent_along_is_out_of_a_lenders_reach() public {
        uint256[] memory none = new uint256[](1);
        puppet.learn(
            address(executor),
            abi.encodeCall(
                Executor.receiveFlashLoan,
                (new address[](1), none, none, abi.encode(cycle(BALANCER, 0)))
            )
        );
        uint256 native = owner.balance;
        Executor.Plan memory plan = _fromPuppet();
        plan.minOut = 0;

        run(plan, 3 ether);

        equal(native, owner.balance, "value came back");
        equal(0, address(puppet).balance, "lender's take");
        assertNothingLeft();
    }
}
