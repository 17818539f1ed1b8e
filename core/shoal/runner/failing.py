"""How many images may fail: looked at after every step, and while a pass over the images goes on."""

from collections.abc import Mapping

from shoal.errors import RunFailed
from shoal.runner.state import RunState


class TooManyFailed(RunFailed):
    """More images failed than the pipeline allows."""


def check_failures(state: RunState, rows: Mapping[str, int]) -> None:
    """Hold the failures that the state knows against `max_failed`.

    Args:
        state: of the run.
        rows: number of images that each step was asked for.

    Raises:
        TooManyFailed: there are more.
    """
    limit = state.plan.pipeline.max_failed
    if over(len(state.failed), state.images.count, limit):
        step, reason = next(iter(state.failed.values()))
        raise TooManyFailed(
            f"{len(state.failed)} of {state.images.count} images failed, over max_failed={limit:g}; "
            f"the first at step {step!r}: {reason}"
        )
    for name, asked in rows.items():
        missed = state.unanswered.get(name, {})
        if over(len(missed), asked, limit):
            raise TooManyFailed(
                f"step {name!r} had no answer for {len(missed)} of {asked} images, over max_failed={limit:g}; "
                f"the first: {next(iter(missed.values()))}"
            )


def over(failed: int, asked: int, limit: float) -> bool:
    """Tell whether so many of the images are a larger share than may fail."""
    return failed / max(asked, 1) > limit
