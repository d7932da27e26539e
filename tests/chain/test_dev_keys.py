from toolkit.chain.dev_keys import known_dev_accounts
from toolkit.chain.modes import NodeIdentity, check_signers
from toolkit.devnet.participants import user_accounts
from toolkit.model.chain import Mode


def test_known_accounts_are_those_that_devnets_give_their_users() -> None:
    """Ten of each of the seeds 0 to 99, as the devnet itself derives them."""
    derived = {one.address for seed in range(100) for one in user_accounts(seed, 10)}

    assert derived == known_dev_accounts()
    assert 1000 == len(derived)


def test_a_development_session_does_not_derive_them() -> None:
    """What is only needed on a real node costs nothing elsewhere."""
    known_dev_accounts.cache_clear()
    account = user_accounts(1, 1)[0].address
    identity = NodeIdentity(chain_id=1, client="", development=True, accounts=frozenset({account}))

    check_signers([account], identity, mode=Mode.DEV, allow_real_key=False)

    assert 0 == known_dev_accounts.cache_info().currsize
