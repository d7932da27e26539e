import pytest

from toolkit.bundles.profiles import PROFILES, is_loopback, profile_for


def test_builders_of_the_field_are_rows() -> None:
    """Each builder is a row of data with an https endpoint; the devnet's has none."""
    assert {
        "flashbots",
        "buildernet",
        "titan",
        "rsync",
        "beaverbuild",
        "mevblocker",
        "bloxroute",
        "builder0x69",
        "devnet",
    } == set(PROFILES)
    assert all(row.url.startswith("https://") for row in PROFILES.values() if row.host)
    assert "" == PROFILES["devnet"].url


@pytest.mark.parametrize("name", [name for name, row in PROFILES.items() if row.host])
def test_profiles_are_recognised_by_host(name: str) -> None:
    """A public endpoint is spoken to as its builder's row says."""
    assert PROFILES[name] == profile_for(f"https://user:secret@{PROFILES[name].host}/rpc")


@pytest.mark.parametrize(
    ("host", "speaks"),
    [
        ("eu.rpc.titanbuilder.xyz", "titan"),
        ("rpc-hoodi.titanbuilder.xyz", "titan"),
        ("direct-us.buildernet.org", "buildernet"),
        ("mev.api.blxrbdn.com", "bloxroute"),
        ("relay-sepolia.flashbots.net", "flashbots"),
        ("nottitanbuilder.xyz", "flashbots"),
        ("rpc.titanbuilder.xyz.example.com", "flashbots"),
        ("xyz", "flashbots"),
    ],
)
def test_all_hosts_of_a_builder_speak_its_dialect(host: str, speaks: str) -> None:
    """A region's endpoint is spoken to as its builder, and called by its host to be told apart;
    a host that only looks like it is a stranger."""
    found = profile_for(f"https://{host}/")

    assert host == found.name
    assert PROFILES[speaks].dialect == found.dialect
    assert PROFILES[speaks].signature is found.signature


@pytest.mark.parametrize(
    ("url", "name", "expected"),
    [
        ("http://127.0.0.1:8555/", "", "devnet"),
        ("http://127.0.0.1:8555/", "builder0", "devnet"),
        ("http://[::1]:8555/", "titan", "titan"),
        ("http://localhost:8555/", "titan-2", "titan"),
        ("http://127.0.0.1:8555/", "builder0x69", "builder0x69"),
        ("http://127.0.0.1:8555/", "titanic-2", "devnet"),
        ("https://mine.example/rpc", "titan", "mine.example"),
    ],
)
def test_names_decide_on_loopback_only(url: str, name: str, expected: str) -> None:
    """The devnet's builders are told apart by name; a public stranger speaks as Flashbots."""
    found = profile_for(url, name=name)

    assert expected == found.name
    if expected == "mine.example":
        assert PROFILES["flashbots"].dialect == found.dialect


def test_loopback_is_this_machine() -> None:
    """A host that only begins like this machine's is another."""
    assert is_loopback("http://[::1]:1/")
    assert not is_loopback("https://127.0.0.1.example")
