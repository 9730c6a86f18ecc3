"""The command line ``noise2atom``; torch and the movie formats are imported by the commands that need them."""

import os
import sys
import traceback
from collections.abc import Sequence

import typer
from pydantic import ValidationError

from .compare import compare
from .console import messages, say
from .denoise import denoise
from .info import info
from .overrides import UsageError, problem
from .score import score
from .settings import settings
from .simulate import simulate
from .train import train
from .trust import atoms, noise_test

__all__ = ["main"]

INTERRUPTED = 130

app = typer.Typer(
    name="noise2atom",
    help="Denoise atomic-resolution STEM movies without clean images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (simulate, train, denoise, score, compare, noise_test, atoms, info, settings):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process: 0 done, 1 the job failed, 2 wrong usage.

    Parameters
    ----------
    arguments : sequence of str, optional
        Words after ``noise2atom``; those of the process if left out.

    Raises
    ------
    SystemExit
        Always.
    """
    try:
        words = sys.argv[1:] if arguments is None else arguments
        app(words, prog_name="noise2atom", obj=words)
    except SystemExit as end:
        # What shells call the end by Ctrl-C; here it is a job that failed.
        if end.code != INTERRUPTED:
            raise
        say(messages(), "Aborted.", style="red")
        code = 1
    except UsageError as error:
        say(messages(), f"Error: {error}", style="red")
        code = 2
    except Exception as error:
        if os.environ.get("NOISE2ATOM_DEBUG"):
            traceback.print_exc()
        say(messages(), f"Error: {_sentence(error)}", style="red")
        code = 1
    sys.exit(code)


def _sentence(error: Exception) -> str:
    """Say what happened; only what nobody expected is named by its type."""
    text = " ".join(str(error).split())
    match error:
        case ValidationError():
            return problem(error)
        case ValueError() | MemoryError() if text:
            return text
        case OSError(strerror=str(reason), filename=name) if name is not None:
            return f"{name}: {reason}"
        case OSError():
            return text
        case RuntimeError() if "out of memory" in text.lower():
            return (
                "the device has too little memory; choose smaller batches or crops, such as --set "
                f"training.batch_size=2, or --device cpu ({text[:200]})"
            )
        case _:
            return f"unexpected {type(error).__name__}: {text}; NOISE2ATOM_DEBUG=1 shows where"
