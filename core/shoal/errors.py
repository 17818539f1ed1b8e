"""The errors that shoal raises. Each message is one sentence that says what is wrong and how to mend it."""


class ShoalError(Exception):
    """Base of every error that shoal raises on purpose; the CLI prints its message without a traceback."""


class UsageError(ShoalError):
    """The caller asked for something that can't be: a wrong option, a missing folder, columns that do not join."""


class PipelineError(UsageError):
    """A pipeline file or an override is wrong; the message names the line, the option and the nearest right spelling."""


class PluginError(ShoalError):
    """A plugin breaks the contract: an abstract class, two stages of one name, a misspelt hook."""


class StageError(ShoalError):
    """A stage failed as a whole: weights missing, a backend that is not installed, rows that break its schema.

    Attributes:
        step: name of the step, where several work in one pass and it is known which one failed.
    """

    step: str = ""


class ImageError(ShoalError):
    """One image can't be read: the reason is kept with its row. The same bytes fail the same way, so it is remembered."""


class StoreError(ShoalError):
    """The store can't be read or written: another format, a full disk, a folder that is not a store."""


class RunFailed(ShoalError):  # noqa: N818  (an outcome: "the run failed")
    """A run ended without its tables: too many rows failed, or a step did."""


class JournalError(ShoalError):
    """The organiser refuses to touch files: a lock is held, a target leads outside, a file changed since."""
