"""The kit for plugin authors: `check_stage(MyStage())` raises where a stage breaks the contract.

```python
from shoal.testing import check_stage

def test_it_keeps_the_contract() -> None:
    check_stage(Hue())
```
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from shoal.contract import Batch, Context, MapStage, Stage, TableStage
from shoal.kinds import Indexer
from shoal.testing.common import fail
from shoal.testing.indexers import check_indexer
from shoal.testing.maps import check_map
from shoal.testing.options import check_options, check_pickle
from shoal.testing.samples import sample_images, sample_rows
from shoal.testing.tables import check_table

if TYPE_CHECKING:
    from shoal.contract import Pixels

__all__ = ["check_stage", "sample_images", "sample_rows"]

MAP_ROWS = 7
TABLE_ROWS = 40


def check_stage(
    stage: Stage,
    rows: pa.Table | None = None,
    images: "Sequence[Pixels] | None" = None,
    *,
    atol: float = 0.0,
    source: str | Path | None = None,
    context: Context | None = None,
    makers: Mapping[str, Stage] | None = None,
) -> None:
    """Check that a stage keeps the contract of `shoal.contract` and of its kind.

    Every stage: frozen, hashable, pickles without its weights, options survive JSON, the same options are the same
    stage and others are not, a schema that can be stored. A map stage: the exact schema, rows kept in order, the same
    answer however rows are batched, an empty batch, a bad row that disturbs no other. A table stage: the exact schema,
    known and unique keys, sets of 0, 1, 3 and of identical rows answered, the same output twice. An indexer: the same
    listing twice, an unknown source refused.

    Args:
        stage: the stage with the options to check.
        rows: `id` and the columns that it consumes, sorted by id. None: `sample_rows(stage, ...)`.
        images: one uint8 array (height, width, 3) a row for a map stage that asks for pixels. None: `sample_images`.
        atol: largest difference allowed between two answers to the same row. 0 is exact; a network on a CPU or GPU may
            need 1e-5, because libraries add up in another order for another batch.
        source: what an indexer lists. None: a small folder of images made for the check.
        context: threads, GPU and cache folder for `setup` and `run`. None: one thread, no GPU.
        makers: for a stage that borrows of the stages that it reads: stage by the name of the column that it makes. Its
            options are checked as they are, its answers once it is bound to these.

    Raises:
        AssertionError: one sentence that says which rule is broken, and how.
    """
    where = context or Context()
    check_options(stage)
    stage = stage if makers is None else _bound(stage, makers)
    if isinstance(stage, Indexer):
        check_indexer(stage, source)
    elif isinstance(stage, MapStage):
        table = rows if rows is not None else sample_rows(stage, MAP_ROWS if images is None else len(images))
        if images is None and stage.image is not None:
            images = sample_images(stage, table.num_rows)
        check_map(stage, Batch(table, images), atol, where)
    elif isinstance(stage, TableStage):
        check_table(stage, rows if rows is not None else sample_rows(stage, TABLE_ROWS), atol, where)
    else:
        fail(stage, "it is neither a MapStage, a TableStage nor an Indexer, so nothing can run it")


def _bound(stage: Stage, makers: Mapping[str, Stage]) -> Stage:
    bound = stage.bind(makers)
    if bound.kind != stage.kind:
        fail(stage, f"bind gave a stage of kind {bound.kind!r}; it must be of the same kind")
    if bound.bind(makers) != bound or stage.bind(makers) != bound:
        fail(stage, "bind gives another stage the second time")
    if bound.produces() != stage.produces():
        fail(stage, "bind changes what it produces; the columns are joined up before it is called")
    check_pickle(bound)
    return bound
