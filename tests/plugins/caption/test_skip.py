import pyarrow as pa

from shoal.contract import Batch
from shoal.testing import check_stage
from shoal_plugins.caption.skip import Skip


def test_it_keeps_the_contract() -> None:
    check_stage(Skip())


def test_every_caption_is_null_and_no_pixel_is_asked_for() -> None:
    answer = Skip().map(Batch(pa.table({"id": ["a", "b", "c"]})))
    assert answer.schema.equals(Skip().produces())
    assert answer["caption"].to_pylist() == [None, None, None]
    assert Skip().image is None
    assert not Skip().talks
