"""Structured logs: a JSON object a line. What a request carries is never logged, and secrets are cut out."""

import json
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

from shoal.text import terminal

HIDDEN = "***"
LONGEST = 2_000
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON: time, level, logger, message, and what `extra` adds."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Take the texts that must never be written."""
        super().__init__()
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time.replace("+00:00", "Z"), "level": record.levelname.lower(), "from": record.name}
        line["message"] = self._clean(record.getMessage())
        for name, value in vars(record).items():
            if name not in _OWN:
                line[name] = value if isinstance(value, int | float) else self._clean(str(value))
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = self._clean(f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}")
            line["where"] = self._clean(_last_frame(record.exc_info[2]))
        return json.dumps(line)

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return terminal(text)[:LONGEST]


def _last_frame(trace: Any) -> str:
    """Return the place where an error was raised: its message may quote a request, its frames do not."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""


def configure(secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send every logger of the process through one handler that writes JSON."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True
    for name in ("urllib3", "httpx", "httpcore"):  # theirs name full addresses
        logging.getLogger(name).setLevel(logging.WARNING)
