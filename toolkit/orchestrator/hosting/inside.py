"""Whether this very process is one that an agent was given."""

from toolkit.model.errors import ConfigError

_HOSTED: list[str] = []


def settle_in(agent: str) -> None:
    """Say that this process is the agent's; it holds until the process ends."""
    _HOSTED.append(agent)


def refuse_inside(what: str) -> None:
    """Refuse what would start processes within the process of an agent.

    A script or module that does so while it is imported would be imported by those processes as
    well, and they would start theirs: without end.

    Raises:
        ConfigError: this process is an agent's; with what to change.
    """
    if _HOSTED:
        raise ConfigError(
            f"{what} would begin anew in the process that it started for {_HOSTED[0]}: put what "
            "the file runs under `if __name__ == '__main__':`"
        )
