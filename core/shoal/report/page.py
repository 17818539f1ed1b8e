"""Puts a report together: one HTML file under a strict content security policy, and the files that its parts name.

The policy (https://www.w3.org/TR/CSP3/) allows exactly the scripts and style sheets that are in the page, by their hash,
and images that are in the page or beside it; nothing is fetched, nothing is evaluated, nothing is sent.
"""

import base64
import hashlib
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from shoal.errors import StageError, StoreError
from shoal.report.model import Fragment, Report
from shoal.report.safe import environment, json_literal, shown

PAGE = "report.html"
FILES = "report_files"
MAX_REJECTED = 20_000
"""Rejected files listed in the page; the page says how many more there are."""

MAX_CLUSTERS = 2_000
_HERE = Path(__file__).parent / "templates"

_ATTRIBUTE = re.compile(r"""(\b(?:src|href|data-src|poster)=["'])files/""")
_STRING = re.compile(r"""(["'`])files/""")
_URL = re.compile(r"""(url\(\s*["']?)files/""")


@dataclass(frozen=True)
class _Part:
    anchor: str
    title: str
    html: str
    script: str


def write(folder: Path, report: Report) -> Path:
    """Write `report.html`, and `report_files/` where a fragment has files, and return the path of the page.

    What an earlier report left is replaced; the page appears last, and whole.

    Raises:
        StageError: a fragment's script or style could end its own element.
        StoreError: the folder can't be written.
    """
    page = render(report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _copy_files(folder / FILES, report.fragments)
        return _publish(folder / PAGE, page)
    except OSError as error:
        raise StoreError(
            f"the report can't be written to {folder}: {error.strerror or error}; free space, or check the rights"
        ) from error


def render(report: Report) -> str:
    """Return the page.

    Raises:
        StageError: a fragment's script or style could end its own element.
    """
    from markupsafe import Markup

    anchors = _anchors(report.fragments)
    parts = [_part(fragment, anchor) for fragment, anchor in zip(report.fragments, anchors, strict=True)]
    styles = [
        _asset("report.css"),
        *dict.fromkeys(_style(f, a) for f, a in zip(report.fragments, anchors, strict=True) if f.style),
    ]
    own_script = _asset("report.js").replace("__REJECTED__", json_literal(_rejected(report.rejected)))
    scripts = [_asset("theme.js"), own_script, *(part.script for part in parts if part.script)]
    return environment(_HERE).get_template("report.html").render(
        report=report,
        policy=Markup(policy(scripts, styles)),  # noqa: S704  (hashes only)
        styles=[Markup(style) for style in styles],  # noqa: S704  (checked by _checked)
        theme_script=Markup(scripts[0]),  # noqa: S704
        own_script=Markup(own_script),  # noqa: S704
        parts=[(part, Markup(part.html), Markup(part.script)) for part in parts],  # noqa: S704
        steps=_steps(report.steps),
        clusters=[{"first_label": "", **row} for row in report.clusters.slice(0, MAX_CLUSTERS).to_pylist()],
        history=report.history.to_pylist() if report.history is not None else [],
        more_clusters=max(0, report.clusters.num_rows - MAX_CLUSTERS),
        statuses=sorted(Counter(report.rejected["status"].to_pylist()).items()),
        more_rejected=max(0, report.rejected.num_rows - MAX_REJECTED),
    ) + "\n"  # fmt: skip


def render_alone(fragment: Fragment, title: str) -> str:
    """Return a page that holds one fragment and nothing else, under the same policy; it opens from disk, without a server.

    Args:
        fragment: one that names no files of its own.
        title: title of the page.

    Raises:
        StageError: the fragment has files, or its script or style could end its own element.
    """
    from markupsafe import Markup

    part, style = _part(fragment, "alone"), _style(fragment, "alone")
    if _ATTRIBUTE.search(fragment.html) or _URL.search(fragment.style):
        raise StageError(f"step {fragment.name!r} draws with files beside the page, so it can't be a page of its own")
    styles = [_asset("report.css"), *([style] if style else [])]
    scripts = [_asset("theme.js"), *([part.script] if part.script else [])]
    return environment(_HERE).get_template("alone.html").render(
        title=title,
        policy=Markup(policy(scripts, styles)),  # noqa: S704  (hashes only)
        styles=[Markup(text) for text in styles],  # noqa: S704  (checked by _checked)
        theme_script=Markup(scripts[0]),  # noqa: S704
        part=part,
        html=Markup(part.html),  # noqa: S704
        script=Markup(part.script),  # noqa: S704
    ) + "\n"  # fmt: skip


def policy(scripts: Iterable[str], styles: Iterable[str]) -> str:
    """Return the content security policy that allows these inline scripts and style sheets and nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes(scripts)}",
            f"style-src {_hashes(styles)}",
            "img-src 'self' data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hashes(texts: Iterable[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in dict.fromkeys(digests)) or "'none'"


def _anchors(fragments: Sequence[Fragment]) -> list[str]:
    """Return one anchor a fragment, all distinct; it also names the folder of its files."""
    anchors: list[str] = []
    for fragment in fragments:
        plain = "part-" + re.sub(r"[^a-z0-9]+", "-", fragment.name.lower()).strip("-")[:60]
        anchor, number = plain, 1
        while anchor in anchors:
            number += 1
            anchor = f"{plain}-{number}"
        anchors.append(anchor)
    return anchors


def _part(fragment: Fragment, anchor: str) -> _Part:
    where = f"{FILES}/{anchor}/"
    html = _ATTRIBUTE.sub(rf"\g<1>{where}", fragment.html)
    script = _checked(_STRING.sub(rf"\g<1>{where}", fragment.script), "script", fragment.name)
    return _Part(anchor, fragment.title, html, script)


def _style(fragment: Fragment, anchor: str) -> str:
    return _checked(_URL.sub(rf"\g<1>{FILES}/{anchor}/", fragment.style), "style", fragment.name)


def _checked(text: str, element: str, step: str) -> str:
    """Return the text as a browser reads it (which turns CR LF into LF before it takes the hash)."""
    if re.search(rf"</{element}|<!--", text, flags=re.IGNORECASE):
        raise StageError(
            f"step {step!r} made a {element} that holds '</{element}' or '<!--', which ends it early; "
            "write data with shoal.report.json_literal"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _steps(steps: pa.Table) -> list[dict[str, Any]]:
    rows = steps.to_pylist()
    longest = max((row["seconds"] or 0.0 for row in rows), default=0.0) or 1.0
    return [{**row, "share": f"{100 * (row['seconds'] or 0.0) / longest:.1f}%"} for row in rows]


def _rejected(rejected: pa.Table) -> list[list[str]]:
    columns = [rejected.slice(0, MAX_REJECTED)[name].to_pylist() for name in ("path", "step", "status", "reason")]
    return [[shown(str(value or "")) for value in row] for row in zip(*columns, strict=True)]


def _copy_files(target: Path, fragments: Sequence[Fragment]) -> None:
    if target.exists():
        shutil.rmtree(target)
    for fragment, anchor in zip(fragments, _anchors(fragments), strict=True):
        if fragment.files is not None and any(fragment.files.iterdir()):
            shutil.copytree(fragment.files, target / anchor)


def _publish(path: Path, text: str) -> Path:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8", newline="\n")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path
