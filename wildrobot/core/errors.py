"""Errors that a person meets: one class, one way to end a command with them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_PIPE_CLOSED = 141


class UserError(Exception):
    """Bad input. The message says what was found, what was expected and what to do."""


def run_main(main: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> int:
    """Run a command's entry function and turn its end into an exit code.

    Returns the function's own code (None is 0), 2 after a `UserError` (its message goes to stderr, without a
    traceback), 130 after Ctrl-C and 141 when whoever read the output has gone (`wildrobot train --help | head`).
    """
    try:
        return main(sys.argv[1:] if argv is None else argv) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # or the interpreter, which flushes at its end, complains then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
