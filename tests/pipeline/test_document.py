from pathlib import Path

import pytest

from shoal.errors import PipelineError
from shoal.pipeline import RunSettings, load, parse

START = "shoal: 1\nsteps:\n  - use: index.folder\n"


def wrong(text: str, host, overrides=()) -> str:
    with pytest.raises(PipelineError) as caught:
        parse(text, host, overrides, where="f.yaml")
    return str(caught.value)


def test_a_good_file_is_read_whole(good, host):
    made = parse(good, host)
    assert (made.name, made.description, made.max_failed) == ("good", "a good pipeline", 0.25)
    assert made.names == ("index", "embed", "reduce", "cluster", "visualize")
    assert made.step("embed").stage.width == 8
    assert made.step("reduce").sources == ("embed",)
    assert made.step("reduce").settings == RunSettings(actors=2, batch=32, cpus=0.5, gpus=0)
    assert made.step("cluster").stage.eps == 0.001
    assert made.step("cluster").stage.weights == {"a": 1.0, "b": 2.5}
    assert [step.line for step in made.steps] == [7, 9, 12, 15, 18]


def test_the_least_file_takes_every_default(host):
    made = parse(START, host)
    assert (made.name, made.description, made.max_failed) == ("pipeline", "", 0.5)


def test_null_with_from_and_run_are_as_if_left_out(host):
    made = parse(START + "    with:\n    run:\n    from:\n", host)
    assert made.steps[0].sources == ()


def test_values_are_those_of_yaml_1_2(host):
    text = START + "  - use: cluster.groups\n    with: {note: no, weights: {on: 1e3, 1: 0x10, a: .5, b: -0o17, c: +3}}\n"
    stage = parse(text.replace("-0o17", "0o17"), host).step("cluster").stage
    assert stage.note == "no"
    assert stage.weights == {"on": 1000.0, "1": 16.0, "a": 0.5, "b": 15.0, "c": 3.0}


def test_aliases_share_options(host):
    text = START + "  - use: reduce.short\n    with: &o {components: 3}\n  - {use: reduce.short, as: again, with: *o}\n"
    made = parse(text, host, ["again.components=4"])
    assert (made.step("reduce").stage.components, made.step("again").stage.components) == (3, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml: the file is empty"),
        ("# only a comment\n", "f.yaml: the file is empty"),
        ("null", "f.yaml: the file is empty"),
        ("- a\n", "f.yaml:1: a pipeline is a mapping"),
        ("just text", "f.yaml:1: a pipeline is a mapping"),
        ("shoal: 1\nstep: []\n", "f.yaml:2: unknown key 'step'; did you mean 'steps'?"),
        ("shoal: 1\nsteps: []\n", "f.yaml:2: `steps` is empty"),
        ("shoal: 1\nsteps: {a: 1}\n", "f.yaml:2: `steps` must be a list"),
        ("steps:\n  - use: index.folder\n", "f.yaml:1: the format version is missing; add the line `shoal: 1`"),
        ("shoal: 2\nsteps:\n  - use: index.folder\n", "f.yaml:1: this shoal reads format version 1, not 2"),
        ("shoal: true\nsteps:\n  - use: index.folder\n", "f.yaml:1: this shoal reads format version 1, not true"),
        ("shoal: '1'\nsteps:\n  - use: index.folder\n", "f.yaml:1: this shoal reads format version 1, not '1'"),
        (START + "max_failed: 1.5\n", "f.yaml:4: `max_failed` must be at most 1, not 1.5"),
        (START + "max_failed: many\n", "f.yaml:4: `max_failed` must be a number, not 'many'"),
        (START + "max_failed: true\n", "f.yaml:4: `max_failed` must be a number, not true"),
        (START + "name: 7\n", "f.yaml:4: `name` must be text (in quotes if it looks like something else), not 7"),
        (START + "name: ''\n", "f.yaml:4: `name` must be some text, not ''"),
        (START + "  - reduce.short\n", "f.yaml:4: a step is a mapping; write `- use: reduce.short`"),
        (START + "  - 7\n", "f.yaml:4: a step is a mapping; write `- use: kind.name`"),
        (START + "  - as: x\n", "f.yaml:4: the step does not say which stage it uses; add `use: kind.name`"),
        (START + "  - use: 5\n", "f.yaml:4: `use` must be text, not 5"),
        (START + "  - use: reduce.short\n    wiht: {}\n", "f.yaml:5: unknown key 'wiht' of a step; did you mean 'with'?"),
        (START + "  - use: reduce.shrt\n", "f.yaml:4: there is no stage 'reduce.shrt'; did you mean reduce.short?"),
        (START + "  - use: reduce.short\n    with: [1]\n", "f.yaml:5: `with` must be a mapping"),
        (START + "  - use: embed.named\n", "f.yaml:4: option `model` of embed.named is missing; it has no default"),
        (
            START + "  - use: reduce.short\n    with:\n      seed: 1\n      componets: 3\n",
            "f.yaml:7: option `componets` of reduce.short does not exist; did you mean 'components'?",
        ),
        (
            START + "  - use: reduce.short\n    with: {zzz: 3}\n",
            "f.yaml:5: option `zzz` of reduce.short does not exist; options: components, min_dist, seed, whiten",
        ),
        (
            START + "  - use: embed.tiny\n    with:\n      input:\n        mean: 1\n        sise: [1, 2]\n",
            "f.yaml:8: option `input.sise` of embed.tiny does not exist",
        ),
        (
            START + "  - use: embed.tiny\n    with:\n      input:\n        size:\n          - 1\n          - big\n",
            "f.yaml:9: option `input.size.1` of embed.tiny must be a whole number, not 'big'",
        ),
        (
            START + "  - use: reduce.short\n    run: {batch: 0}\n",
            "f.yaml:5: `run.batch` of step 'reduce' must be at least 1, not 0",
        ),
        (
            START + "  - use: reduce.short\n    run: {batchs: 1}\n",
            "f.yaml:5: `run.batchs` of step 'reduce' does not exist; did you mean 'batch'?",
        ),
        (START + "  - use: reduce.short\n    run: {actors: 1.5}\n", "must be a whole number, not 1.5"),
        (
            START + "  - use: reduce.short\n  - use: reduce.short\n",
            "f.yaml:5: a step named 'reduce' exists already (step 2); name this one with `as:`",
        ),
        (
            START + "  - use: reduce.short\n    from: index2\n",
            "f.yaml:5: `from` names the unknown step 'index2'; did you mean 'index'?",
        ),
        (
            START + "  - use: reduce.short\n    from: x\n  - {use: embed.tiny, as: x}\n",
            "f.yaml:5: `from` names the later step 'x'; move",
        ),
        (
            START + "  - use: reduce.short\n    from: reduce\n",
            "f.yaml:5: `from` names the step itself ('reduce'); steps before it: index",
        ),
        (
            START + "  - use: reduce.short\n    from: {a: 1}\n",
            "f.yaml:5: `from` must be the name of a step or a list of names",
        ),
        (
            START + "  - use: reduce.short\n    from: [1]\n",
            "f.yaml:5: `from` must be the name of a step or a list of names, not [1]",
        ),
        (START + "  - use: reduce.short\n    as: 3\n", "f.yaml:5: `as` must be text, not 3"),
        (START + "  - use: reduce.short\n    as: a.b\n", "f.yaml:4: 'a.b' is no name for a step"),
        (START + "  - use: reduce.short\n    as: name\n", "f.yaml:4: a step can't be named 'name'"),
        (
            "shoal: 1\nsteps:\n  - use: embed.tiny\n",
            "f.yaml:3: the first step must find the images, but this one is of kind 'embed'",
        ),
        (START + "  - {use: index.folder, as: two}\n", "f.yaml:4: only the first step can be an index"),
        (START + "name: a\nname: b\n", "f.yaml:5: `name` is given twice (first in line 4); keep one"),
        ("a: [1\nb: 2\n", "f.yaml:2: not YAML ("),
        ("shoal: 1\nsteps:\n\t- use: index.folder\n", "f.yaml:3: a tab is used for indenting; use spaces"),
        ("shoal: 1\nsteps:\n  - use: index.folder\n\t  with: {}\n", "f.yaml:4: a tab is used for indenting; use spaces"),
        (START + "---\n" + START, "f.yaml:4: a second document starts here"),
        (
            START + "name: !!python/object/apply:os.system ['id']\n",
            "f.yaml:4: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not",
        ),
        (START + "name: !x y\n", "f.yaml:4: the tag '!x' is not allowed"),
        (START + "name: !!int y\n", "f.yaml:4: 'y' is no int"),
        (START + "max_failed: .nan\n", "f.yaml:4: `.nan` is no value for an option"),
        (START + "  - use: reduce.short\n    with: {<<: {seed: 1}}\n", "f.yaml:5: merge keys (`<<`) are not supported"),
        (START + "? [a, b]\n: c\n", "f.yaml:4: a key must be plain text"),
        (START + "name: *nowhere\n", "f.yaml:4: `*nowhere` is used before"),
        (START + "x: &a [*a]\n", "f.yaml:4: `*a` is used before"),
        (START + 'name: "\\ud800"\n', "f.yaml:4: text holds half a surrogate pair"),
        (START + "name: a\x00b\n", "f.yaml:4: character U+0000 is not allowed"),
        (START + 'name: "\\UFFFFFFFF"\n', "f.yaml: not YAML"),
        ("[" * 1000, "f.yaml:1: nested more than 30 levels deep"),
        (START + "#" * 300_000, "f.yaml: longer than 256 KiB"),
    ],
)
def test_a_mistake_is_told_with_line_and_mend(text, message, host):
    assert message in wrong(text, host)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("min_cluster_size: 1", "`min_cluster_size` of cluster.groups must be at least 2, not 1"),
        ("min_cluster_size: few", "`min_cluster_size` of cluster.groups must be a whole number, not 'few'"),
        ("min_cluster_size: 2.5", "`min_cluster_size` of cluster.groups must be a whole number, not 2.5"),
        ("min_cluster_size: true", "`min_cluster_size` of cluster.groups must be a number, not true"),
        ("min_cluster_size: ", "`min_cluster_size` of cluster.groups must be a whole number, not null"),
        ("min_cluster_size: [1]", "`min_cluster_size` of cluster.groups must be a whole number, not [1]"),
        ("method: leef", "`method` of cluster.groups must be 'leaf' or 'eom', not 'leef'; did you mean 'leaf'?"),
        ("metric: cosin", "`metric` of cluster.groups must be 'euclidean' or 'cosine', not 'cosin'; did you mean 'cosine'?"),
        ("eps: atuo", "`eps` of cluster.groups must be a number or 'auto', not 'atuo'; did you mean 'auto'?"),
        ("eps: true", "`eps` of cluster.groups must be a number, not true"),
        ("ratio: 1", "`ratio` of cluster.groups must be less than 1, not 1"),
        ("ratio: 0", "`ratio` of cluster.groups must be more than 0, not 0"),
        ("weights: 3", "`weights` of cluster.groups must be a mapping (`key: value`), not 3"),
        ("weights: {a: b}", "`weights.a` of cluster.groups must be a number, not 'b'"),
        ("note: 3", "`note` of cluster.groups must be text (in quotes if it looks like something else), not 3"),
        ("note: " + "x" * 99, "`note` of cluster.groups must be at most 20 characters long, not 'xxx"),
        ("note: hey!", "`note` of cluster.groups: no exclamation marks, please"),
        ("since: soon", "`since` of cluster.groups must be a valid date or datetime, input is too short, not 'soon'"),
        ("note: explode", "cluster.groups: RuntimeError: boom"),
        ("method: eom\n      eps: 0.125", "cluster.groups: `eps` 0.125 needs `method: leaf`"),
    ],
)
def test_a_bad_option_is_told_in_words(option, message, host):
    told = wrong(f"{START}  - use: cluster.groups\n    with:\n      {option}\n", host)
    assert message in told
    assert told.count("\n") == 0


def test_all_mistakes_of_a_file_are_told_at_once(host):
    text = """\
shoal: 1
nmae: x
max_failed: 2
steps:
  - use: index.foldr
  - use: reduce.short
    with: {components: 0, sead: 1}
    from: nowhere
  - use: cluster.groups
    run: {cpu: 1}
"""
    lines = wrong(text, host).splitlines()
    assert sorted({int(line.split(":")[1]) for line in lines}) == [2, 3, 5, 7, 8, 10]
    assert len(lines) == 7


def test_of_very_many_mistakes_the_first_are_told(host):
    told = wrong(START + "".join(f"k{number}: 1\n" for number in range(500)), host).splitlines()
    assert len(told) == 31
    assert told[-1] == "... and 470 more"


def test_a_file_with_very_many_steps_is_refused_at_once(host):
    text = START + "".join(f"  - {{use: reduce.short, as: s{number}, from: q}}\n" for number in range(2000))
    assert "f.yaml:2: 2001 steps, where 200 are the most" in wrong(text, host)


def test_an_alias_bomb_is_refused_before_it_grows(host):
    text = START + "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True):
        text += f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    assert "more than 20000 values" in wrong(text, host)


def test_deep_aliases_are_counted_as_depth(host):
    text = "a: &a " + "[" * 25 + "]" * 25 + "\nb: &b " + "[" * 25 + "*a" + "]" * 25 + "\n"
    assert "nested more than 30 levels deep" in wrong(text, host)


def test_files_are_read_with_their_name_as_default(tmp_path: Path, host):
    file = tmp_path / "mine.yaml"
    file.write_text("\ufeff" + START)
    assert load(file, host).name == "mine"
    assert load(str(file), host, ["name=other"]).name == "other"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"shoal: 1\nname: \xff\n", "mine.yaml:2: not UTF-8 text; save the file as UTF-8"),
        ("shoal: 1".encode("utf-16"), "mine.yaml:1: not UTF-8 text"),
        (b"#" * 400_000, "mine.yaml: longer than 256 KiB"),
        (b"", "mine.yaml: the file is empty"),
    ],
)
def test_files_that_are_no_text_are_refused(data, message, tmp_path: Path, host):
    (tmp_path / "mine.yaml").write_bytes(data)
    with pytest.raises(PipelineError, match=message):
        load(tmp_path / "mine.yaml", host)


@pytest.mark.skipif(not Path("/proc/self/mem").is_file(), reason="needs a file that opens and can't be read")
def test_a_file_that_fails_while_it_is_read(host):
    with pytest.raises(PipelineError, match="/proc/self/mem can't be read: "):
        load(Path("/proc/self/mem"), host)


def test_a_file_that_is_not_there(tmp_path: Path, host):
    (tmp_path / "mine.yaml").write_text(START)
    with pytest.raises(PipelineError, match=r"there is no pipeline file .*mien.yaml'; did you mean .*mine.yaml"):
        load(tmp_path / "mien.yaml", host)
    with pytest.raises(PipelineError, match=r"there is no pipeline file .*recipes go by name"):
        load(str(tmp_path / "none" / "x.yaml"), host)
    with pytest.raises(PipelineError, match="there is no pipeline file"):
        load("a/\0.yaml", host)
    with pytest.raises(PipelineError, match="there is no pipeline file"):
        load(tmp_path, host)


def test_the_nearest_step_is_named_by_lookup(good, host):
    made = parse(good, host)
    with pytest.raises(Exception, match="has no step 'clustr'; did you mean 'cluster'"):
        made.step("clustr")
