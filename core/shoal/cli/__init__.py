"""The command line. It reads arguments and draws answers; all else is in the modules it calls."""

import sys
from collections.abc import Sequence

FAILED, WRONG_USE = 1, 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `shoal` and exit: 0 well, 1 failed, 2 wrong use. `--debug` anywhere shows tracebacks."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    sys.exit(_run([argument for argument in given if argument != "--debug"], debug))


def _run(arguments: list[str], debug: bool) -> int:
    import typer
    from typer.main import get_command

    from shoal.cli.app import build
    from shoal.cli.console import complain
    from shoal.errors import ShoalError, UsageError

    try:
        code = get_command(build()).main(arguments, prog_name="shoal", standalone_mode=False)
    except ShoalError as error:
        if debug:
            raise
        complain(str(error))
        return WRONG_USE if isinstance(error, UsageError) else FAILED
    except (typer.Abort, KeyboardInterrupt):
        complain("stopped; what was computed is kept: the same command goes on from here")
        return FAILED
    except BrokenPipeError:
        return FAILED
    except Exception as error:
        return _other(error, debug)
    return code if isinstance(code, int) else 0


def _other(error: Exception, debug: bool) -> int:
    """Show a click error as click does; anything else is a bug, said in one sentence."""
    from shoal.cli.console import complain

    show = getattr(error, "show", None)
    if callable(show):
        show()
        return int(getattr(error, "exit_code", WRONG_USE))
    if debug:
        raise error
    complain(f"shoal hit a bug ({type(error).__name__}: {error}); run again with --debug and report the traceback")
    return FAILED
