// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Stands in for WETH9: ether that is wrapped one for one and never leaves otherwise.
/// @notice Code and slots are set directly when the offline twin is built, together with an ether
/// balance that backs every unit.
contract StandInWeth {
    /*//////////////////////////////////////////////////////////////
                                 ERRORS
    //////////////////////////////////////////////////////////////*/

    /// @dev The account holds less than it wants to send or unwrap.
    error BalanceTooLow(address account, uint256 balance, uint256 needed);

    /// @dev The spender may spend less than it wants to.
    error AllowanceTooLow(address spender, uint256 allowed, uint256 needed);

    /// @dev The receiver of unwrapped ether refused it.
    error EtherRefused(address account);

    /*//////////////////////////////////////////////////////////////
                                 EVENTS
    //////////////////////////////////////////////////////////////*/

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);
    event Deposit(address indexed account, uint256 value);
    event Withdrawal(address indexed account, uint256 value);

    /*//////////////////////////////////////////////////////////////
                     STORAGE: slots 0 to 4, in this order
    //////////////////////////////////////////////////////////////*/

    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;
    string public name;
    string public symbol;
    uint8 public decimals;

    /*//////////////////////////////////////////////////////////////
                                 LOGIC
    //////////////////////////////////////////////////////////////*/

    receive() external payable {
        deposit();
    }

    function deposit() public payable {
        unchecked {
            // No overflow: all ether there is fits.
            balanceOf[msg.sender] += msg.value;
        }
        emit Deposit(msg.sender, msg.value);
    }

    function withdraw(uint256 value) external {
        uint256 held = balanceOf[msg.sender];
        if (held < value) revert BalanceTooLow(msg.sender, held, value);
        unchecked {
            // No underflow: compared just above.
            balanceOf[msg.sender] = held - value;
        }
        // The balance is already lower, so a receiver that calls back gains nothing.
        (bool accepted,) = msg.sender.call{value: value}("");
        if (!accepted) revert EtherRefused(msg.sender);
        emit Withdrawal(msg.sender, value);
    }

    function totalSupply() external view returns (uint256) {
        return address(this).balance;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (from != msg.sender && allowed != type(uint256).max) {
            if (allowed < value) revert AllowanceTooLow(msg.sender, allowed, value);
            unchecked {
                // No underflow: compared just above.
                allowance[from][msg.sender] = allowed - value;
            }
        }
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) private {
        uint256 held = balanceOf[from];
        if (held < value) revert BalanceTooLow(from, held, value);
        unchecked {
            // No underflow: compared just above. No overflow: balances sum to the ether held.
            balanceOf[from] = held - value;
            balanceOf[to] += value;
        }
        emit Transfer(from, to, value);
    }
}
