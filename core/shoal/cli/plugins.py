"""`shoal plugins`, `stages`, `recipes`, `schema`, `new-plugin`, `doctor`: what is installed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli.console import out, out_json, out_next, paragraphs, quoted
from shoal.cli.look import Json
from shoal.cli.tables import Look, table

if TYPE_CHECKING:
    from shoal.contract import Stage
    from shoal.host import Host

FINDINGS = Look(sentences=("mend", "found"))
OPTIONS = Look(sentences=("meaning",))
STAGES = Look(sentences=("does",))
PLUGINS = Look(sentences=("state",), spare=("package",))
RECIPES = Look(sentences=("does",))


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: shoal recipes --json")(recipes)
    app.command(epilog="Example: shoal stages embed.timm")(stages)
    app.command(epilog="Example: shoal plugins --json")(plugins)
    app.command(epilog="Example: shoal schema > pipeline.schema.json")(schema)
    app.command(name="new-plugin", epilog="Example: shoal new-plugin shoal-hue --to packages/")(new_plugin)
    app.command(epilog="Example: shoal doctor --out out/")(doctor)


def recipes(json: Json = False) -> None:
    """List the recipes that run by name, and presets by size."""
    from shoal.pipeline.recipes import all as every
    from shoal.presets import presets

    if json:
        found = [{"name": recipe.name, "description": recipe.description, "path": str(recipe.path)} for recipe in every()]
        out_json({"recipes": found, "presets": [preset.model_dump(by_alias=True) for preset in presets()]})
        return
    table("Recipes", ("recipe", "does"), [[recipe.name, recipe.description] for recipe in every()], RECIPES)
    sizes = [[one.name, f"below {one.up_to:,}" if one.up_to else "any number", one.description] for one in presets()]
    table("Presets (shoal run --preset NAME)", ("preset", "images", "does"), sizes, RECIPES)


def plugins(json: Json = False) -> None:
    """List the plugins, and why some could not be loaded."""
    from shoal.host import Host

    host = Host()
    good = [
        {"name": plugin.name, "package": plugin.distribution or "built in", "state": "loaded"} for plugin in host.plugins
    ]
    bad = [
        {"name": broken.name, "package": broken.distribution or "built in", "state": f"broken: {broken.reason}"}
        for broken in host.broken
    ]
    if json:
        out_json(good + bad)
        return
    table("Plugins", ("name", "package", "state"), [list(row.values()) for row in good + bad], PLUGINS)


def stages(
    title: Annotated[
        str | None, typer.Argument(metavar="STAGE", help="A stage (embed.timm) or a kind (embed); none lists all.")
    ] = None,
    json: Json = False,
) -> None:
    """List the stages, or show one with its options."""
    from shoal.host import Host

    host = Host()
    kinds = {kind for kind, _ in host.stages}
    if title is not None and title not in kinds:
        _one(host.stage(title), json)
    else:
        _many(host, title, json)


def _many(host: "Host", kind: str | None, json: bool) -> None:
    listed = [cls for cls in host.stages.values() if kind in (None, cls.kind)]
    found = [{"stage": cls.title(), "does": _first_line(cls), "module": cls.__module__} for cls in listed]
    if json:
        out_json(found)
        return
    table("Stages", ("stage", "does"), [[row["stage"], row["does"]] for row in found], STAGES)
    out_next([quoted("shoal", "stages", found[0]["stage"])])


def _first_line(cls: "type[Stage]") -> str:
    return (cls.__doc__ or "").strip().splitlines()[0] if cls.__doc__ else ""


def _one(cls: "type[Stage]", json: bool) -> None:
    import inspect

    from shoal.pipeline.schema import flat

    options = dict(flat(cls))
    consumes = {field.name: str(field.type) for field in cls.consumes}
    optional = {field.name: str(field.type) for field in cls.optional}
    description = inspect.getdoc(cls) or ""
    if json:
        facts = {"stage": cls.title(), "version": cls.version, "description": description, "options": options}
        out_json({**facts, "consumes": consumes, "optional": optional})
        return
    out(f"{cls.title()} (version {cls.version})")
    out()
    paragraphs(description)
    rows = [
        [name, _default(option), f"{option.get('description', '')} ({_kind(option)})".strip()]
        for name, option in options.items()
    ]
    table("Options", ("option", "default", "meaning"), rows, OPTIONS)
    for word, columns in (("consumes", consumes), ("optional", optional)):
        if columns:
            out(f"{word}: " + ", ".join(f"{name} ({kind})" for name, kind in columns.items()))


def _default(option: dict[str, Any]) -> str:
    """Return a default as a pipeline file says it."""
    if "default" not in option:
        return "required"
    value = option["default"]
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)


def _kind(option: dict[str, Any]) -> str:
    """Return what a value may be: `eom | leaf`, `integer, at least 1`."""
    if "enum" in option:
        return " | ".join(str(value) for value in option["enum"])
    if "anyOf" in option:
        return " | ".join(_kind(choice) for choice in option["anyOf"])
    if option.get("type") == "object":
        return "mapping"
    bounds = {
        "minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"
    }  # fmt: skip
    said = [f"{word} {option[key]:g}" for key, word in bounds.items() if key in option]
    return ", ".join([str(option.get("const", option.get("type", "value"))), *said])


def schema() -> None:
    """Print the JSON schema of pipeline files, for editors.

    It knows the stages that are installed here, those of plugins too.
    """
    import sys

    from shoal.host import Host
    from shoal.pipeline.schema import text

    sys.stdout.write(text(Host()))


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the package, such as shoal-hue.")],
    to: Annotated[Path, typer.Option(help="Folder in which the package's folder is made.")] = Path("."),
    json: Json = False,
) -> None:
    """Write a plugin package that passes its own tests.

    It installs, is discovered, and adds one stage to begin with.
    """
    from shoal.scaffold import new_plugin as write

    files = write(name, to)
    if json:
        out_json([str(file) for file in files])
        return
    for file in files:
        out(str(file))
    package = str(to / name)
    installed = package if "/" in package else f"./{package}"
    out_next([quoted("pip", "install", "-e", installed), quoted("python", "-m", "pytest", package), "shoal stages"])


def doctor(
    out_: Annotated[str | None, typer.Option("--out", help="Store to look at too.")] = None,
    label_studio: Annotated[
        str | None, typer.Option(metavar="URL", help="Label Studio to look at too; the token is in LABEL_STUDIO_API_KEY.")
    ] = None,
    json: Json = False,
) -> None:
    """Check this machine; each finding comes with its mend."""
    from shoal.doctor import examine

    findings = examine(out_, {"label-studio": label_studio} if label_studio else None)
    bad = [finding for finding in findings if finding.state == "bad"]
    if json:
        out_json([finding.__dict__ for finding in findings])
    else:
        table(
            "Doctor", ("check", "state", "found", "mend"), [[f.check, f.state, f.found, f.mend] for f in findings], FINDINGS
        )
        out("all is well" if not bad else f"to mend: {', '.join(finding.check for finding in bad)}")
    if bad:
        raise typer.Exit(1)
