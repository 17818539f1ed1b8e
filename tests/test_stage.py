"""A stage travels as its options: what `setup` loaded stays behind, and what it starts with is made anew."""

import pickle
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import PrivateAttr

from shoal.contract import Context, Stage
from shoal.schema import columns


class Counting(Stage):
    """Has private attributes of both sorts."""

    kind: ClassVar[str] = "count"
    name: ClassVar[str] = "counting"
    start: int = 1

    _model: Any = PrivateAttr(default=None)
    _seen: list[int] = PrivateAttr(default_factory=list)

    def produces(self) -> pa.Schema:
        return columns(count=pa.int32())

    def setup(self, context: Context) -> None:
        self._model = object()
        self._seen.append(self.start)


def test_a_pickled_stage_is_as_before_its_setup() -> None:
    stage = Counting(start=3)
    stage.setup(Context())
    copy = pickle.loads(pickle.dumps(stage))
    assert copy == stage
    assert (copy._model, copy._seen) == (None, [])
    copy.setup(Context())
    assert (copy._seen, stage._seen) == ([3], [3])
