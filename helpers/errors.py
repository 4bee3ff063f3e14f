"""The two kinds of error that a user meets, and what a command line makes of them."""

import sys
from collections.abc import Callable


class Refused(ValueError):
    """A request that cannot be met as it stands; the message names the setting, file or entry, and the remedy."""


class Failed(RuntimeError):
    """Work that could not be done, or not to its end; the message says what is kept and what to do."""


def exit_status(action: Callable[[], int | None], stopped: str = "stopped") -> int:
    """Run a command; what goes wrong is one line on the error stream.

    Args:
        action: the command; its own exit status, or None for success.
        stopped: said after Ctrl-C: what is kept, and how to go on.

    Returns:
        The action's status; 1 where it failed, 2 where it was refused, 130 after Ctrl-C.
    """
    try:
        return action() or 0
    except (Refused, Failed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, Refused) else 1
    except KeyboardInterrupt:
        print(f"\n{stopped}", file=sys.stderr)
        return 130
