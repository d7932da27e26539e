// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Stands in for USDT with the two habits that break naive integrations.
/// @notice `transfer`, `transferFrom` and `approve` return nothing, and an allowance can only be
/// changed from or to zero. Code and slots are set directly when the offline twin is built.
contract StandInTether {
    /*//////////////////////////////////////////////////////////////
                                 ERRORS
    //////////////////////////////////////////////////////////////*/

    /// @dev The account holds less than it wants to send.
    error BalanceTooLow(address account, uint256 balance, uint256 needed);

    /// @dev The spender may spend less than it wants to.
    error AllowanceTooLow(address spender, uint256 allowed, uint256 needed);

    /// @dev A non-zero allowance must be reset to zero before it gets another non-zero value.
    error ApproveFromNonZero(address spender, uint256 allowed);

    /*//////////////////////////////////////////////////////////////
                                 EVENTS
    //////////////////////////////////////////////////////////////*/

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    /*//////////////////////////////////////////////////////////////
                     STORAGE: slots 0 to 5, in this order
    //////////////////////////////////////////////////////////////*/

    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;
    uint256 public totalSupply;
    string public name;
    string public symbol;
    uint256 public decimals;

    /*//////////////////////////////////////////////////////////////
                                 LOGIC
    //////////////////////////////////////////////////////////////*/

    function approve(address spender, uint256 value) external {
        uint256 allowed = allowance[msg.sender][spender];
        if (value != 0 && allowed != 0) revert ApproveFromNonZero(spender, allowed);
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
    }

    function transfer(address to, uint256 value) external {
        _move(msg.sender, to, value);
    }

    function transferFrom(address from, address to, uint256 value) external {
        uint256 allowed = allowance[from][msg.sender];
        // USDT does not count an unlimited allowance down either.
        if (allowed != type(uint256).max) {
            if (allowed < value) revert AllowanceTooLow(msg.sender, allowed, value);
            unchecked {
                // No underflow: compared just above.
                allowance[from][msg.sender] = allowed - value;
            }
        }
        _move(from, to, value);
    }

    function _move(address from, address to, uint256 value) private {
        uint256 held = balanceOf[from];
        if (held < value) revert BalanceTooLow(from, held, value);
        unchecked {
            // No underflow: compared just above. No overflow: balances sum to the fixed supply.
            balanceOf[from] = held - value;
            balanceOf[to] += value;
        }
        emit Transfer(from, to, value);
    }
}
