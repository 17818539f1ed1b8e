"""The files of the workflow's steps 4 to 7: captions, keywords, labels, suggestions, and what people decided."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from shoal.export.source import Exportable, clusters_of, last, names_in_review
from shoal.export.writers import flat, rows, write_csv, write_list, write_mapping
from shoal.names import file_part
from shoal.pipeline import Step
from shoal.reviewing import history
from shoal.text import terminal

CAPTIONS = "caption_txt"
KEYWORDS = "step5_keywords"
MOST_KEYWORDS = 20
"""Keywords of a cluster in the table of labels: those of most captions."""


def write_captions(run: Exportable, step: Step, folder: Path, *, files: bool) -> None:
    """Write `S4_captions.json`, and a text file an image where `files` is true: its caption as one line.

    The JSON holds captions as they were given; the text files are stripped of what can steer a terminal.
    """
    table = run.table(step.name).select(["id", "caption"])
    table = table.filter(pc.is_valid(table["caption"]))
    write_mapping(folder / "S4_captions.json", ((row["id"], row["caption"]) for row in rows(table)))
    if not files or not table.num_rows:
        return
    place = folder / CAPTIONS
    place.mkdir()
    for row in rows(table):
        (place / f"{file_part(row['id'])}.txt").write_text(f"{terminal(row['caption'])}\n", encoding="utf-8")


def write_labels(run: Exportable, named: pa.Table, cluster: Step | None, folder: Path) -> None:
    """Write `S5_cluster_labels.csv`: cluster, label, size, reason, what else the labeller says, the cluster's keywords.

    Args:
        run: the run.
        named: a row a cluster: cluster, label, reason, and more.
        cluster: the step whose clusters these are.
        folder: that the file goes to.
    """
    labels, distil = flat(named), last(run, "distil")
    column = run.shown(cluster.name, "cluster") if cluster else "cluster"
    members = run.joined([column]).rename_columns(["id", "cluster"])
    sizes = members.group_by("cluster").aggregate([("id", "count")])
    size = sizes["id_count"].take(pc.index_in(labels["cluster"], value_set=sizes["cluster"].combine_chunks()))
    more = [name for name in labels.column_names if name not in ("cluster", "label", "reason")]
    columns = {"cluster": labels["cluster"], "label": labels["label"], "size": size, "reason": labels["reason"]}
    columns |= {name: labels[name] for name in more}
    if distil and "keywords" not in more:
        merged = _merged(run, distil, column)
        columns["keywords"] = pa.array([merged.get(number, "") for number in labels["cluster"].to_pylist()], pa.string())
    write_csv(folder / "S5_cluster_labels.csv", pa.table(columns).sort_by("cluster"))


def _merged(run: Exportable, distil: Step, cluster: str) -> dict[int, str]:
    """Return the keywords of each cluster, those of most captions first."""
    counts: dict[int, Counter[str]] = {}
    for number, words in _keywords(run, distil, cluster):
        counts.setdefault(number, Counter()).update(dict.fromkeys(words, 1))
    return {
        number: ", ".join(word for word, _ in count.most_common(MOST_KEYWORDS))  # ties: in the order met
        for number, count in counts.items()
    }


def _keywords(run: Exportable, distil: Step, cluster: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cluster and the keywords of each image that has any, by cluster and id."""
    table = run.joined([cluster, f"{distil.name}.keywords"]).rename_columns(["id", "cluster", "keywords"])
    if pa.types.is_null(table["keywords"].type):  # no image was asked for
        return
    table = table.filter(pc.greater_equal(pc.coalesce(table["cluster"], pa.scalar(-1, pa.int32())), 0))
    table = table.filter(pc.greater(pc.coalesce(pc.list_value_length(table["keywords"]), pa.scalar(0, pa.int32())), 0))
    for row in rows(table.sort_by([("cluster", "ascending"), ("id", "ascending")])):
        yield row["cluster"], [word for word in row["keywords"] if word]


def write_keywords(run: Exportable, step: Step, folder: Path) -> None:
    """Write `step5_keywords/cluster_00_keywords.txt` and so on: a line a caption, its keywords joined by a comma."""
    cluster = clusters_of(run, step) or last(run, "cluster")
    found: dict[int, list[str]] = {}
    for number, words in _keywords(run, step, run.shown(cluster.name, "cluster")) if cluster else ():
        found.setdefault(number, []).append(terminal(", ".join(words)))
    if found:
        (folder / KEYWORDS).mkdir()
    for number, lines in found.items():
        text = "\n".join(lines)
        (folder / KEYWORDS / f"cluster_{number:02d}_keywords.txt").write_text(f"{text}\n", encoding="utf-8")


def write_rescues(run: Exportable, step: Step, folder: Path) -> None:
    """Write `S6_rescue_candidates.csv`: a row a noise image, by suggested cluster, the likest first; those without last."""
    table = run.current(step.name)
    caption, label = last(run, "caption"), last(run, "label")
    names = run.current(label.name) if label else names_in_review(run)
    wanted = ["path", *([f"{caption.name}.caption"] if caption else [])]
    known = run.joined(wanted)
    known = known.take(pc.index_in(table["id"], value_set=known["id"].combine_chunks()))
    columns: dict[str, Any] = {"id": table["id"], "path": known["path"], "suggested": table["suggested"]}
    if names is not None:
        columns["label"] = names["label"].take(pc.index_in(table["suggested"], value_set=names["cluster"].combine_chunks()))
    more = flat(table)
    columns |= {name: more[name] for name in more.column_names if name not in columns}
    if caption:
        columns["caption"] = known[wanted[-1]]
    order = [("suggested", "ascending"), ("score", "descending"), ("id", "ascending")]
    write_csv(folder / "S6_rescue_candidates.csv", pa.table(columns).sort_by(order))


def write_decisions(run: Exportable, folder: Path) -> None:
    """Write `S7_confirmed_moves.json`, the moves that count, and `S7_user_edits.log`, every decision in its order."""
    write_list(folder / "S7_confirmed_moves.json", history.moves(run))
    with (folder / "S7_user_edits.log").open("w", encoding="utf-8") as file:
        file.writelines(f"{terminal(line)}\n" for line in history.lines(run))
