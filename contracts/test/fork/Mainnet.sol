// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

import {Executor} from "../../src/Executor.sol";
import {equal, named, vm} from "../Vm.sol";

interface IToken {
    function balanceOf(address account) external view returns (uint256);
    function allowance(address account, address spender) external view returns (uint256);
    function deposit() external payable;
}

interface IPair {
    function token0() external view returns (address);
    function token1() external view returns (address);
    function getReserves() external view returns (uint112 reserve0, uint112 reserve1, uint32 time);
    function swap(uint256 out0, uint256 out1, address to, bytes calldata data) external;
}

interface IPool {
    function swap(address to, bool zeroForOne, int256 amount, uint160 limit, bytes calldata data)
        external
        returns (int256 delta0, int256 delta1);
}

/// @dev Asks a V3 pool by swapping in earnest and undoing it in the callback.
contract Lens {
    error Answer(uint256 amountOut);

    function quote(address pool, bool zeroForOne, uint256 amountIn) external returns (uint256) {
        uint160 limit = zeroForOne ? 4295128740 : 1461446703485210103287273052203988822378723970341;
        try IPool(pool).swap(address(this), zeroForOne, int256(amountIn), limit, "") {
            revert("the pool did not call back");
        } catch (bytes memory reason) {
            require(bytes4(reason) == Answer.selector, "no quote");
            assembly ("memory-safe") {
                return(add(reason, 0x24), 0x20)
            }
        }
    }

    function uniswapV3SwapCallback(int256 delta0, int256 delta1, bytes calldata) external pure {
        revert Answer(uint256(delta0 < 0 ? -delta0 : -delta1));
    }
}

/// @dev Mainnet, or the twin of it, at FORK_RPC_URL. Only relations are asserted, never amounts:
/// every amount is derived from the reserves that are there.
abstract contract Mainnet {
    address internal constant WETH = 0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2;
    address internal constant USDC = 0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48;
    address internal constant USDT = 0xdAC17F958D2ee523a2206206994597C13D831ec7;
    address internal constant VAULT = 0xBA12222222228d8Ba445958a75a0704d566BF2C8;
    address internal constant V2_USDC_WETH = 0xB4e16d0168e52d35CaCD2c6185b44281Ec28C9Dc;
    address internal constant V2_WETH_USDT = 0x0d4a11d5EEaaC28EC3F61d100daF4d40471f1852;
    address internal constant V3_USDC_WETH_500 = 0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640;
    address internal constant V3_USDC_WETH_3000 = 0x8ad599c3A0ff1De082011EFDDc58f1908eb6e6D8;
    address internal constant V3_USDC_USDT_100 = 0x3416cF6C708Da44DB2624D63ea0AAef7113527C6;

    address internal immutable owner = named("executor owner");
    address internal immutable builder = named("builder");
    Executor internal executor;
    Lens internal lens;

    function setUp() public virtual {
        vm.createSelectFork(vm.envString("FORK_RPC_URL"));
        vm.coinbase(builder);
        lens = new Lens();
        vm.prank(owner);
        executor = new Executor(WETH);
        vm.deal(owner, 10 ether);
    }

    /*//////////////////////////////////////////////////////////////
                                  HOPS
    //////////////////////////////////////////////////////////////*/

    function _hopV2(address pair, address tokenIn, uint256 amountIn)
        internal
        view
        returns (Executor.Hop memory)
    {
        bool zeroForOne = IPair(pair).token0() == tokenIn;
        address tokenOut = zeroForOne ? IPair(pair).token1() : IPair(pair).token0();
        (uint256 r0, uint256 r1,) = IPair(pair).getReserves();
        (uint256 rIn, uint256 rOut) = zeroForOne ? (r0, r1) : (r1, r0);
        uint256 amountOut = amountIn * 997 * rOut / (rIn * 1000 + amountIn * 997);
        return Executor.Hop(pair, 0, tokenIn, tokenOut, amountIn, amountOut);
    }

    function _hopV3(address pool, address tokenIn, uint256 amountIn)
        internal
        returns (Executor.Hop memory)
    {
        bool zeroForOne = IPair(pool).token0() == tokenIn;
        address tokenOut = zeroForOne ? IPair(pool).token1() : IPair(pool).token0();
        uint256 amountOut = lens.quote(pool, zeroForOne, amountIn);
        return Executor.Hop(pool, 1, tokenIn, tokenOut, amountIn, amountOut);
    }

    function _wethReserve(address pair) internal view returns (uint256) {
        (uint256 r0, uint256 r1,) = IPair(pair).getReserves();
        return IPair(pair).token0() == WETH ? r0 : r1;
    }

    /*//////////////////////////////////////////////////////////////
                                 TOKENS
    //////////////////////////////////////////////////////////////*/

    /// @dev Move tokens whether or not they answer.
    function _send(address token, address to, uint256 amount) internal {
        (bool succeeded,) =
            token.call(abi.encodeWithSignature("transfer(address,uint256)", to, amount));
        require(succeeded, "transfer");
    }

    function _approve(address token, uint256 amount) internal returns (bool succeeded) {
        vm.prank(owner);
        (succeeded,) = token.call(
            abi.encodeWithSignature("approve(address,uint256)", address(executor), amount)
        );
    }

    /// @dev Wrap ether and sell it to a pair; the proceeds go to `to`. Makes WETH cheap there.
    function _sellWeth(address pair, uint256 amount, address to) internal returns (uint256) {
        Executor.Hop memory hop = _hopV2(pair, WETH, amount);
        vm.deal(address(this), amount);
        IToken(WETH).deposit{value: amount}();
        _send(WETH, pair, amount);
        bool zeroForOne = IPair(pair).token0() == WETH;
        IPair(pair).swap(zeroForOne ? 0 : hop.amountOut, zeroForOne ? hop.amountOut : 0, to, "");
        return hop.amountOut;
    }

    function _assertNothingLeft() internal view {
        address[3] memory tokens = [WETH, USDC, USDT];
        for (uint256 i = 0; i < tokens.length; ++i) {
            IToken token = IToken(tokens[i]);
            equal(0, token.balanceOf(address(executor)), "token left");
            equal(0, token.allowance(owner, address(executor)), "owner's allowance");
            equal(0, token.allowance(address(executor), VAULT), "vault's allowance");
        }
        equal(0, address(executor).balance, "native left");
    }
}
