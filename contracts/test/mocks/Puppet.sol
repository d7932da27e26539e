// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @dev Answers any call by making the calls it was told to, then returning what it was told to: a
/// hostile venue or lender, played by the test.
contract Puppet {
    struct Act {
        address target;
        bytes data;
    }

    Act[] internal acts;
    bytes internal answer;

    function learn(address target, bytes calldata data) external {
        acts.push(Act(target, data));
    }

    function say(bytes calldata answer_) external {
        answer = answer_;
    }

    fallback(bytes calldata) external returns (bytes memory) {
        for (uint256 i = 0; i < acts.length; ++i) {
            (bool succeeded, bytes memory said) = acts[i].target.call(acts[i].data);
            if (!succeeded) {
                assembly ("memory-safe") {
                    revert(add(said, 0x20), mload(said))
                }
            }
        }
        return answer;
    }
}
