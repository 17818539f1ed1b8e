"""A stage that borrows of another is checked once it is bound to it."""

from collections.abc import Mapping
from typing import ClassVar

import pytest

from shoal.contract import Stage
from shoal.testing import check_stage
from shoal_plugins.distil.prompt import Prompt
from shoal_plugins.distil.words import Words

from ..plugins.distil.talkers import Parrot


class Fickle(Words):
    """Binds to another stage each time."""

    name: ClassVar[str] = "fickle"
    count: ClassVar[int] = 0

    def bind(self, makers: Mapping[str, Stage]) -> Stage:
        Fickle.count += 1
        return Words(max_keywords=Fickle.count)


class Stray(Words):
    """Binds to a stage of another kind."""

    name: ClassVar[str] = "stray"

    def bind(self, makers: Mapping[str, Stage]) -> Stage:
        return makers["caption"]


def test_a_borrower_is_checked_with_what_it_borrows() -> None:
    check_stage(Prompt(), makers={"caption": Parrot()})


@pytest.mark.parametrize(
    ("stage", "why"), [(Fickle(), "bind gives another stage the second time"), (Stray(), "a stage of kind 'caption'")]
)
def test_a_borrower_that_breaks_a_rule(stage: Stage, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        check_stage(stage, makers={"caption": Parrot()})
