"""The command line. It reads arguments and draws answers; all else is in the modules it calls."""

import sys
from collections.abc import Sequence

FAILED, WRONG_USE = 1, 2
INTERRUPTED = 130
"""What typer makes of Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `shoal` and exit: 0 well, 1 failed, 2 wrong use. `--debug` anywhere shows tracebacks."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    sys.exit(_run([argument for argument in given if argument != "--debug"], debug))


def _run(arguments: list[str], debug: bool) -> int:
    from shoal.cli.console import lenient

    lenient()
    try:
        _check(arguments)
        from typer.main import get_command

        from shoal.cli.app import build

        code = get_command(build(arguments)).main(arguments, prog_name="shoal", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            import traceback

            traceback.print_exception(error)
        return _tell(error)
    return code if isinstance(code, int) else 0


def _check(arguments: list[str]) -> None:
    """Refuse an argument that is empty, as `"$UNSET"` is: it would name the working folder."""
    from shoal.errors import UsageError

    if "" in arguments:
        before = arguments[arguments.index("") - 1] if arguments.index("") else "shoal"
        raise UsageError(f"the argument after {before} is empty; write it out, or set the variable that it stands for")


def _tell(error: BaseException) -> int:
    """Say in one sentence what went wrong and return the exit code."""
    from textwrap import shorten

    from typer import Abort

    from shoal.cli.console import complain, hush
    from shoal.errors import ShoalError, UsageError

    if isinstance(error, BrokenPipeError):  # whoever read the output has left
        hush()
        return FAILED
    if isinstance(error, ShoalError):
        complain(str(error))
        return WRONG_USE if isinstance(error, UsageError) else FAILED
    if isinstance(error, Abort | KeyboardInterrupt):
        complain("stopped; what is done is kept: the same command goes on from here")
        return FAILED
    if callable(getattr(error, "format_message", None)):
        complain(_wrong_use(error))
        return WRONG_USE
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        complain(f"{where}{error.strerror or error}; mend that and give the same command again (--debug shows more)")
        return FAILED
    said = shorten(f"{type(error).__name__}: {error}", 300, placeholder=" ...")
    complain(f"shoal hit a bug ({said}); run again with --debug and report the traceback")
    return FAILED


def _wrong_use(error: BaseException) -> str:
    """Return what the argument parser says, as one sentence that ends with where to look."""
    said = str(error.format_message()).rstrip(".").replace(". Did", "; did")  # type: ignore[attr-defined]
    path = getattr(getattr(error, "ctx", None), "command_path", None) or "shoal"
    return f"{said[:1].lower()}{said[1:]}{' ' if said.endswith('?') else '; '}`{path} --help` shows how"
