"""The kit names each broken rule of every stage; a good stage of every shape passes."""

import random
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pydantic import ConfigDict

from shoal.contract import Context, Stage
from shoal.schema import columns, vector
from shoal.testing import check_stage

from .stages import GOOD, Mean, Norm, importable, refuses


@pytest.mark.parametrize("cls", GOOD, ids=lambda cls: cls.__name__)
def test_a_good_stage_of_every_shape_passes(cls: type[Stage]) -> None:
    check_stage(cls())


class TestOptions:
    """Rules of every stage."""

    def test_a_stage_that_can_be_changed(self) -> None:
        class Soft(Mean):
            model_config = ConfigDict(frozen=False)

        refuses(Soft(), "can be changed after they are made")

    def test_a_stage_that_takes_any_option(self) -> None:
        class Loose(Mean):
            model_config = ConfigDict(extra="ignore")

        refuses(Loose(), "accepts unknown options")

    def test_a_name_that_no_pipeline_file_can_say(self) -> None:
        class Shouting(Mean):
            name = "Mean Colour"

        refuses(Shouting(), "must be lower-case")

    def test_a_shorthand_that_is_no_option(self) -> None:
        class Short(Mean):
            shorthand = "model"

        refuses(Short(), "none of its options")

    def test_weights_that_travel(self) -> None:
        class Heavy(Mean):
            @cached_property
            def weights(self) -> NDArray[np.float32]:
                return np.ones(5000, dtype=np.float32)

            def setup(self, context: Context) -> None:
                self.weights.sum()

        refuses(importable(Heavy)(), "carries 2.... bytes of what setup loaded")

    def test_an_option_left_out_of_the_identity(self) -> None:
        class Forgetful(Mean):
            def identity(self) -> dict[str, Any]:
                said = super().identity()
                del said["options"]["scale"]
                return said

        refuses(importable(Forgetful)(), "scale=1.0 and scale=2.0 have the same identity")

    def test_a_part_of_an_option_left_out_of_the_identity(self) -> None:
        class Forgetful(Mean):
            def identity(self) -> dict[str, Any]:
                said = super().identity()
                said.get("prepare", {}).pop("grid", None)
                return said

        refuses(importable(Forgetful)(prepare={"clahe": True}), "have the same identity")

    def test_an_identity_that_changes(self) -> None:
        class Moody(Mean):
            def identity(self) -> dict[str, Any]:
                return {**super().identity(), "mood": random.random()}

        refuses(importable(Moody)(), "(another one|different identities)")

    def test_an_identity_without_version(self) -> None:
        class Bare(Mean):
            def identity(self) -> dict[str, Any]:
                return {"kind": self.kind, "name": self.name, "options": self.model_dump()}

        refuses(importable(Bare)(), "lacks 'version'")

    def test_a_local_class_does_not_pickle(self) -> None:
        class Local(Mean):
            pass

        refuses(Local(), "it must pickle to reach its workers")

    def test_a_vector_without_size(self) -> None:
        class Sizeless(Mean):
            def produces(self) -> pa.Schema:
                return columns(embedding=vector())

        refuses(importable(Sizeless)(), "vector of any size")

    def test_a_stage_that_names_its_key(self) -> None:
        class Keyed(Mean):
            def produces(self) -> pa.Schema:
                return columns(id=pa.string())

        refuses(importable(Keyed)(), "names its key column 'id'")

    def test_a_column_both_consumed_and_optional(self) -> None:
        class Both(Norm):
            optional = Norm.consumes

        refuses(importable(Both)(), "both consumed and optional")

    def test_produces_that_needs_weights(self) -> None:
        class Late(Mean):
            def produces(self) -> pa.Schema:
                return columns(embedding=vector(len(self._table)))

        refuses(importable(Late)(), "produces.. must work before setup")

    def test_options_that_do_not_survive_json(self) -> None:
        class Infinite(Mean):
            far: float = float("inf")

        refuses(importable(Infinite)(), "survive JSON")
