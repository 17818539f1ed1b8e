"""Settles answers: what several people say about one task by a policy, what several tasks say by agreement.

**One task, several people.** A task is asked about on a surface. Of one person the newest answer counts there. `latest`
takes the newest answer; `majority` what more than half of the people say; `ask` what all of them say. What these don't
settle is listed and not applied. An image counts as spoken of where it is named; a cluster's name, split and merge by
everybody who answered: saying nothing there leaves them as they were shown. Where one task was asked about on several
surfaces, or of several bases, the newest that asks for something counts, as it was shown what became of the older ones.

**Several tasks.** They have to agree about a cluster's name and merge, or it is a conflict, and none is applied. Keeping and
rejecting ask for nothing, so they yield to other tasks. Images: `Resolution.place`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from shoal.decisions.asking import Kind, Place, Subject, Wish, origin, said, wishes
from shoal.decisions.model import NOISE, Answer, Conflict, Policy, Said, Unsettled


@dataclass(frozen=True)
class Verdict:
    """What a task says about a subject once its answers are settled.

    Attributes:
        task: the task.
        wish: what it asks for.
        said: the answer that counts.
    """

    task: str
    wish: Wish
    said: Said

    @property
    def goal(self) -> Place:
        """What is asked for; of a wish that asks for nothing, noise."""
        return NOISE if self.wish.goal is None else self.wish.goal

    @property
    def seen_in(self) -> int | None:
        """The cluster whose members the task showed; None for a task about an image."""
        kind, _, number = self.task.partition(":")
        return int(number) if kind == "cluster" and number.isdecimal() else None


@dataclass(frozen=True)
class Resolution:
    """What the answers come to.

    Attributes:
        images: what tasks say about each image that one speaks of.
        names: the settled name of a cluster.
        splits: what is split off from each cluster that is split.
        merges: what each cluster that is merged goes into, at the end of its chain.
        merged: the verdict behind each of these.
        rejected: images whose suggestion was rejected.
        conflicts, unsettled: what is not applied; images whose tasks disagree come out of `place`.
    """

    images: Mapping[str, tuple[Verdict, ...]]
    names: Mapping[Place, Verdict]
    splits: Mapping[int, tuple[str, ...]]
    merges: Mapping[int, int]
    merged: Mapping[int, Verdict]
    rejected: frozenset[str]
    conflicts: tuple[Conflict, ...]
    unsettled: tuple[Unsettled, ...]


def resolve(answers: Iterable[Answer], policy: Policy = "latest") -> Resolution:
    """Settle answers that count (the newest revision of each; taken back ones left out), all in the same numbers."""
    unsettled: list[Unsettled] = []
    verdicts = _verdicts(answers, policy, unsettled)
    conflicts: list[Conflict] = []
    names = _agreed(verdicts, "name", conflicts)
    merged = {int(cluster): verdict for cluster, verdict in _agreed(verdicts, "merge", conflicts).items()}
    images = {str(subject.of): tuple(found) for subject, found in verdicts.items() if subject.kind == "image"}
    splits = {
        int(subject.of): tuple(origin(int(subject.of), number) for number in range(max(_numbers(found))))
        for subject, found in verdicts.items()
        if subject.kind == "split"
    }
    rejected = frozenset(image for image, found in images.items() if any(v.wish.kind == "reject" for v in found))
    return Resolution(
        images, names, splits, chains({cluster: _number(verdict) for cluster, verdict in merged.items()}), merged, rejected,
        tuple(conflicts), tuple(unsettled),
    )  # fmt: skip


def _number(verdict: Verdict) -> int:
    return int(verdict.goal)


def _numbers(verdicts: Iterable[Verdict]) -> list[int]:
    return [_number(verdict) for verdict in verdicts]


def _verdicts(answers: Iterable[Answer], policy: Policy, unsettled: list[Unsettled]) -> dict[Subject, list[Verdict]]:
    """Return a verdict a task for every subject that a task asks something about, in the order of the tasks."""
    tasks: dict[str, dict[tuple[str, str], list[Answer]]] = defaultdict(lambda: defaultdict(list))
    for answer in sorted(answers, key=lambda answer: (answer.at, answer.surface, answer.key)):
        tasks[answer.task][answer.surface, answer.base].append(answer)
    found: dict[Subject, list[Verdict]] = defaultdict(list)
    for task, surfaces in sorted(tasks.items()):
        settled: dict[Subject, Verdict] = {}
        for told in sorted(surfaces.values(), key=lambda told: told[-1].at):
            settled.update(_surface(task, told, policy, unsettled))
        for subject, verdict in settled.items():
            found[subject].append(verdict)
    return found


def _surface(task: str, answers: Sequence[Answer], policy: Policy, unsettled: list[Unsettled]) -> dict[Subject, Verdict]:
    """Return what the answers to a task on one surface, the oldest first, come to."""
    newest = {answer.who or f"{answer.surface}/{answer.key}": answer for answer in answers}
    speaking = (answer for answer in newest.values() if answer.changes)  # who skipped a task has no say in it
    people = sorted(speaking, key=lambda answer: (answer.at, answer.key))
    asked = [wishes(answer) for answer in people]
    found: dict[Subject, Verdict] = {}
    for subject in dict.fromkeys(subject for each in asked for subject in each):
        voices = [
            (answer, each.get(subject))
            for answer, each in zip(people, asked, strict=True)
            if subject.kind != "image" or subject in each
        ]
        chosen = _settle([wish for _, wish in voices], policy)
        if chosen is None:
            told = tuple(said(answer, wish) for answer, wish in voices)
            unsettled.append(Unsettled(subject=str(subject), why=_WHY[policy], said=told))
            continue
        answer, wish = voices[chosen]
        if wish is not None:
            found[subject] = Verdict(task, wish, said(answer, wish))
    return found


_WHY: dict[Policy, str] = {
    "latest": "",
    "majority": "no more than half of the people say the same",
    "ask": "not all people say the same",
}


def _settle(asked: Sequence[Wish | None], policy: Policy) -> int | None:
    """Return the place of the wish that counts among those of several people, the newest last; None: none does."""
    last = len(asked) - 1
    if policy == "latest":
        return last
    goals = [wish.goal if wish else None for wish in asked]
    goal, times = Counter(goals).most_common(1)[0]
    enough = times == len(goals) if policy == "ask" else 2 * times > len(goals)
    return last - goals[::-1].index(goal) if enough else None


def _agreed(verdicts: Mapping[Subject, Sequence[Verdict]], kind: Kind, conflicts: list[Conflict]) -> dict[Place, Verdict]:
    """Return the verdict by cluster where all tasks say the same; the others become conflicts."""
    found = {}
    for subject, told in verdicts.items():
        if subject.kind != kind:
            continue
        if len({verdict.wish.goal for verdict in told}) == 1:
            found[subject.of] = max(told, key=lambda verdict: verdict.said.at)
        else:
            about = "name" if kind == "name" else "merge"
            conflicts.append(Conflict(subject=str(subject), about=about, said=tuple(verdict.said for verdict in told)))
    return found


def chains(merges: Mapping[int, int]) -> dict[int, int]:
    """Return where each merged cluster ends: at the end of its chain.

    Clusters that are merged in a circle were all said to be one: they become the one with the smallest number.
    """
    ends = {}
    for cluster in merges:
        path = [cluster]
        while path[-1] in merges and merges[path[-1]] not in path:
            path.append(merges[path[-1]])
        ends[cluster] = path[-1] if path[-1] not in merges else min(path[path.index(merges[path[-1]]) :])
    return {cluster: end for cluster, end in ends.items() if cluster != end}


@dataclass(frozen=True)
class Placed:
    """Where an image goes.

    Attributes:
        cluster: its cluster.
        verdict: that says so, or that it stays; None where nobody speaks of it.
        excluded: answers that exclude each other; the image then stays, and none of them is applied.
    """

    cluster: int
    verdict: Verdict | None = None
    excluded: tuple[Said, ...] = ()


def place(
    start: int, verdicts: Sequence[Verdict], number: Callable[[Place], int], same: Callable[[int, int], bool]
) -> Placed:
    """Return where an image goes.

    A task that shows a cluster's members speaks of the image as a member of that cluster. So from where the image is, the
    tasks are followed from cluster to cluster, each once: who sees an image that was moved here and moves it on contradicts
    nobody. Tasks that are not on this way must agree with where it ends; where none is on it, with one another.

    Args:
        start: the cluster that the image is in.
        verdicts: of the tasks that speak of it.
        number: gives the number of a cluster.
        same: tells whether two clusters are one, as merged ones are.
    """
    left = [verdict for verdict in verdicts if verdict.wish.goal is not None]
    cluster, last = start, None
    while (step := next((v for v in left if v.seen_in is not None and same(v.seen_in, cluster)), None)) is not None:
        left.remove(step)
        cluster, last = number(step.goal), step
    if last is None and left:
        last = max(left, key=lambda verdict: verdict.said.at)
        cluster = number(last.goal)
    if last is None:
        return Placed(start, max(verdicts, key=lambda verdict: verdict.said.at, default=None))
    others = [verdict for verdict in left if not same(number(verdict.goal), cluster)]
    others += [verdict for verdict in verdicts if verdict.wish.against is not None and same(verdict.wish.against, cluster)]
    if others:
        return Placed(start, excluded=tuple(dict.fromkeys([last.said, *(verdict.said for verdict in others)])))
    return Placed(cluster, last)
