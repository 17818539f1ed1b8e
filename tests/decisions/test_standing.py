"""Which answers count, whatever is said, applied, undone and done again in whatever order."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from shoal.decisions import Answer, Considered, Standing, Version
from shoal.decisions.standing import base_name, base_under, revision

from .answers import answer, keep


@dataclass
class Review:
    """What a database holds, and what commands do to it."""

    revisions: list[Answer] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    considered: list[Considered] = field(default_factory=list)

    @property
    def stood(self) -> Standing:
        return Standing(sorted(self.revisions, key=lambda one: one.at), self.versions, self.considered)

    @property
    def number(self) -> int:
        return self.stood.current.number if self.stood.current else 0

    def say(self, key: int, at: int) -> None:
        if not any((one.key, one.at) == (str(key), answer("t", at=at).at) for one in self.revisions):
            self.revisions.append(answer("t", keep("x"), key=str(key), at=at))

    def apply(self, changes: bool) -> None:
        stood = self.stood
        if changes:
            told, number = tuple(revision(one) for one in stood.counting), len(self.versions) + 1
            self.versions.append(Version(run="r", number=number, made="2026", answers=told, parent=self.number))
        elif stood.waiting:
            told = tuple(revision(one) for one in stood.waiting)
            self.considered.append(Considered(run="r", version=self.number, made="2026", answers=told))

    def mark(self, number: int, undone: bool) -> None:
        self.versions[number - 1] = self.versions[number - 1].model_copy(update={"undone": undone})


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 3), st.integers(0, 9)),
        st.tuples(st.just("apply"), st.booleans()),
        st.tuples(st.just("undo")),
        st.tuples(st.just("redo")),
    ),
    max_size=25,
)


@given(STEPS)
def test_nothing_that_was_undone_comes_back_and_nothing_waits_for_ever(steps):
    review = Review()
    for step, *how in steps:
        before = review.stood
        if step == "say":
            review.say(*how)
        elif step == "apply":
            review.apply(*how)
            assert review.stood.waiting == ()
            assert review.stood.counting == before.counting
        elif step == "undo" and before.current:
            review.mark(before.current.number, True)
            after = review.stood
            assert set(after.waiting) <= set(before.waiting)  # so the next apply finds nothing that it made
            assert not before.held & {revision(one) for one in after.counting} - after.held
            review.mark(before.current.number, False)
            assert (review.stood.counting, review.stood.waiting) == (before.counting, before.waiting)
            review.mark(before.current.number, True)
        elif step == "redo":
            undone = [one for one in review.versions if one.undone and one.parent == review.number]
            if undone:
                review.mark(undone[-1].number, False)
                assert review.stood.held >= set(undone[-1].answers)
    stood = review.stood
    assert len({one.key for one in stood.counting}) == len(stood.counting)
    assert not stood.withdrawn & {revision(one) for one in stood.counting}


def test_a_version_has_the_numbers_of_what_was_carried_beneath_it():
    carried = Version(run="r", number=2, kind="carried", made="2026", digest="ab" * 32)
    first, second = Version(run="r", number=1, made="2026"), Version(run="r", number=3, made="2026", base=2)
    versions = [first, carried, second]
    assert [base_name(base_under(one, versions)) for one in (None, *versions)] == [
        "0", "0", "2-abababababab", "2-abababababab",
    ]  # fmt: skip
