// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @dev The ways in which deployed tokens differ from the ERC-20 text.
enum Habit {
    PLAIN, // returns true, reverts on failure
    SILENT, // USDT: returns nothing, reverts with nothing, allowances only from or to zero
    FALSE, // returns false instead of reverting
    FEE // keeps one percent of every transfer
}

contract WeirdToken {
    Habit public immutable habit;
    mapping(address account => uint256) public balanceOf;
    mapping(address account => mapping(address spender => uint256)) public allowance;

    constructor(Habit habit_) {
        habit = habit_;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external {
        if (habit == Habit.SILENT && amount != 0) {
            require(allowance[msg.sender][spender] == 0, "approve from non-zero");
        }
        allowance[msg.sender][spender] = amount;
        _answer(true);
    }

    function transfer(address to, uint256 amount) external {
        _answer(_move(msg.sender, to, amount));
    }

    function transferFrom(address from, address to, uint256 amount) external {
        if (allowance[from][msg.sender] < amount) _answer(false);
        if (allowance[from][msg.sender] != type(uint256).max) {
            allowance[from][msg.sender] -= amount;
        }
        _answer(_move(from, to, amount));
    }

    function _move(address from, address to, uint256 amount) internal returns (bool) {
        if (balanceOf[from] < amount) return false;
        balanceOf[from] -= amount;
        balanceOf[to] += habit == Habit.FEE ? amount - amount / 100 : amount;
        return true;
    }

    /// @dev End the call with the answer of this token's habit.
    function _answer(bool done) internal view {
        if (habit == Habit.SILENT) {
            assembly ("memory-safe") {
                if done { return(0, 0) }
                revert(0, 0)
            }
        }
        if (habit != Habit.FALSE) require(done, "token refused");
        assembly ("memory-safe") {
            mstore(0, done)
            return(0, 32)
        }
    }
}

contract WrappedNative is WeirdToken(Habit.PLAIN) {
    function deposit() external payable {
        balanceOf[msg.sender] += msg.value;
    }

    function withdraw(uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        (bool succeeded,) = msg.sender.call{value: amount}("");
        require(succeeded, "native refused");
    }
}
