"""Which commit is measured."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def commit() -> str:
    """Name the commit that is measured; `+` where tracked sources were changed since."""
    sources = ("toolkit", "scripts/bench", ":!scripts/bench/results")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *sources)
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def git(*words: str) -> str:
    """Ask git about this checkout."""
    done = subprocess.run(
        ["git", *words],  # noqa: S607 - the git that made this checkout
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout.strip()
