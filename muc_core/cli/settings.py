"""Options of a command made from settings models: a new method or setting is an option without a change here."""

import inspect
import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from typer.core import TyperCommand

from muc_core.errors import MucError

M = TypeVar("M", bound=BaseModel)

_CHOSEN = "muc.settings"


class CommandWithSettings(TyperCommand):
    """A command that has the fields of settings models as options, too; `chosen` returns what the user gave."""

    @staticmethod
    def models() -> Mapping[str, type[BaseModel]]:
        """Settings models by the name the user knows. Called only when this command or its help is asked for."""
        raise NotImplementedError

    def get_params(self, ctx: Any) -> Any:
        own = super().get_params(ctx)
        settings = _options(type(self))
        taken = {option for parameter in own for option in parameter.opts}
        if shared := taken.intersection(option for parameter in settings for option in parameter.opts):
            raise ValueError(f"{self.name!r} has options and settings of the same name: {', '.join(sorted(shared))}")
        return [*own, *settings]


def chosen(ctx: typer.Context) -> dict[str, str]:
    """Settings that were given on the command line, by field, as typed."""
    return dict(ctx.meta.get(_CHOSEN, {}))


def option_name(field: str) -> str:
    return "--" + field.replace("_", "-")


def validated(model: type[M], given: Mapping[str, str], *, what: str) -> M:
    """A settings model from what was typed.

    Args:
        what: what the settings belong to, for the error text.

    Raises:
        MucError: a setting that the model does not have, or a value that it refuses; says which and what is accepted.
    """
    unknown = [name for name in given if name not in model.model_fields]
    if unknown:
        raise MucError(f"{what} has no {_listed(unknown)}; its settings are {_listed(model.model_fields)}")
    values = {name: _parsed(model.model_fields[name], name, text) for name, text in given.items()}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise MucError(f"{what}: {_explained(error)}") from error


def _listed(fields: Iterable[str]) -> str:
    return ", ".join(map(option_name, fields))


def _explained(error: ValidationError) -> str:
    faults = []
    for fault in error.errors(include_url=False):
        reason = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
        where = ".".join(map(str, fault["loc"]))
        faults.append(f"{option_name(where)} {reason}, not {fault['input']!r}" if where else reason)
    return "; ".join(faults)


def _parsed(field: FieldInfo, name: str, text: str) -> Any:
    if text == "":
        return None
    if not _is_nested(field):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        example = '{"flip": 0.5}'
        raise MucError(f"{option_name(name)} must be a JSON object such as '{example}', not {text!r}") from error


def _is_nested(field: FieldInfo) -> bool:
    types = (field.annotation, *get_args(field.annotation))
    return any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in types)


@cache
def _options(command: type[CommandWithSettings]) -> tuple[Any, ...]:
    models = command.models()
    parameters = []
    for name in dict.fromkeys(field for model in models.values() for field in model.model_fields):
        owners = {title: model.model_fields[name] for title, model in models.items() if name in model.model_fields}
        option = typer.Option(
            option_name(name),
            help=_help(owners),
            metavar=_metavar(next(iter(owners.values()))),
            rich_help_panel="Settings" if len(owners) == len(models) else f"Settings of {', '.join(owners)}",
            callback=_keep,
            expose_value=False,
        )
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(name, kind, default=None, annotation=Annotated[str | None, option]))

    # Typer reads a function's signature; this one is written at run time and never called.
    def signature_only() -> None: ...

    signature_only.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    app = typer.Typer(add_completion=False)
    app.command()(signature_only)
    return tuple(typer.main.get_command(app).params)


def _keep(ctx: typer.Context, parameter: typer.CallbackParam, value: str | None) -> None:
    if value is not None:
        ctx.meta.setdefault(_CHOSEN, {})[parameter.name] = value


def _help(owners: Mapping[str, FieldInfo]) -> str:
    """The field's description and its default, with the owners that have another one."""
    first, *_ = owners.values()
    by_default: dict[str, list[str]] = {}
    for owner, field in owners.items():
        by_default.setdefault(_default(field), []).append(owner)
    usual = max(by_default, key=lambda value: len(by_default[value]))
    others = "".join(f"; {', '.join(who)}: {value}" for value, who in by_default.items() if value != usual)
    return f"{first.description or ''} (default {usual}{others})".strip()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "none, must be given"
    value = field.get_default(call_default_factory=True, validated_data={})
    return "empty" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _metavar(field: FieldInfo) -> str:
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if get_origin(field.annotation) is Literal:
        return "|".join(map(str, kinds))
    if _is_nested(field):
        return "JSON"
    names = {int: "INTEGER", float: "NUMBER", bool: "true|false"}
    return names.get(kinds[0], "TEXT")
