"""`shoal plugins`, `stages`, `new-plugin`, `doctor`: what is installed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli.console import out, out_json, table
from shoal.cli.look import Json

if TYPE_CHECKING:
    from shoal.contract import Stage


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: shoal plugins --json")(plugins)
    app.command(epilog="Example: shoal stages embed.timm")(stages)
    app.command(name="new-plugin", epilog="Example: shoal new-plugin shoal-hue --to packages/")(new_plugin)
    app.command(epilog="Example: shoal doctor --out out/")(doctor)


def plugins(json: Json = False) -> None:
    """List the plugins, and those that could not be loaded with the reason."""
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
    table("Plugins", ("name", "package", "state"), [list(row.values()) for row in good + bad])


def stages(
    title: Annotated[str | None, typer.Argument(help="A stage, such as embed.timm; none lists all.")] = None,
    json: Json = False,
) -> None:
    """List the stages, or show one with its options and columns."""
    from shoal.host import Host

    host = Host()
    if title is not None:
        _one(host.stage(title), json)
        return
    found = [{"stage": cls.title(), "does": _first_line(cls), "module": cls.__module__} for cls in host.stages.values()]
    if json:
        out_json(found)
        return
    table("Stages", ("stage", "does"), [[row["stage"], row["does"]] for row in found])


def _first_line(cls: "type[Stage]") -> str:
    return (cls.__doc__ or "").strip().splitlines()[0] if cls.__doc__ else ""


def _one(cls: "type[Stage]", json: bool) -> None:
    import inspect

    schema = cls.model_json_schema()
    options: dict[str, Any] = schema.get("properties", {})
    facts = {
        "stage": cls.title(), "version": cls.version, "description": inspect.getdoc(cls) or "", "options": options,
        "consumes": {field.name: str(field.type) for field in cls.consumes},
        "optional": {field.name: str(field.type) for field in cls.optional},
    }  # fmt: skip
    if json:
        out_json(facts)
        return
    out(f"{facts['stage']} (version {facts['version']})\n")
    out(f"{facts['description']}\n")
    rows = [
        [name, _kind(option), option.get("default", "required"), option.get("description", "")]
        for name, option in options.items()
    ]
    table("Options", ("option", "type", "default", "meaning"), [[str(cell) for cell in row] for row in rows])
    for word in ("consumes", "optional"):
        columns = facts[word]
        if isinstance(columns, dict) and columns:
            out(f"{word}: " + ", ".join(f"{name} ({kind})" for name, kind in columns.items()))


def _kind(option: dict[str, Any]) -> str:
    if "enum" in option:
        return " | ".join(str(value) for value in option["enum"])
    if "anyOf" in option:
        return " | ".join(_kind(choice) for choice in option["anyOf"])
    low = option.get("minimum", option.get("exclusiveMinimum"))
    high = option.get("maximum", option.get("exclusiveMaximum"))
    bounds = (
        f" {low if low is not None else ''}..{high if high is not None else ''}"
        if low is not None or high is not None
        else ""
    )
    return f"{option.get('const', option.get('type', 'value'))}{bounds}"


def new_plugin(
    name: Annotated[str, typer.Argument(help="Name of the package, such as shoal-hue.")],
    to: Annotated[Path, typer.Option(help="Folder in which the package's folder is made.")] = Path("."),
    json: Json = False,
) -> None:
    """Write a plugin package that installs, is discovered, and passes its own tests."""
    from shoal.scaffold import new_plugin as write

    files = write(name, to)
    if json:
        out_json([str(file) for file in files])
        return
    for file in files:
        out(str(file))
    out(f"next:\n  pip install -e {to / name}\n  python -m pytest {to / name}\n  shoal stages")


def doctor(
    out_: Annotated[str | None, typer.Option("--out", help="Store to look at too.")] = None, json: Json = False
) -> None:
    """Check this machine: Python, plugins, Ray, weights, disk; each finding with its mend."""
    from shoal.doctor import examine

    findings = examine(out_)
    if json:
        out_json([finding.__dict__ for finding in findings])
    else:
        table("Doctor", ("check", "state", "found", "mend"), [[f.check, f.state, f.found, f.mend] for f in findings])
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)
