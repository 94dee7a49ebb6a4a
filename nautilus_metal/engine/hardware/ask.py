"""Commands and files whose answer is text, or None: nothing here raises or waits for long."""

import subprocess
from pathlib import Path

TIMEOUT = 5.0  # seconds for one command


def run(*command: str) -> str | None:
    """Output of a command; None where it is missing, fails or takes too long."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def read(path: str | Path) -> str | None:
    """Text of a file; None where there is none that this user may read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
