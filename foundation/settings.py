"""YAML read strictly: a misspelt or doubled key is an error with its nearest right spelling, never ignored."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from foundation.errors import InputError, nearest


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses a mapping that names a key twice, where YAML would keep the last silently."""


def _error(says: str, node: yaml.Node) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(problem=says, problem_mark=node.start_mark)


def _mapping_without_doubles(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _error("a key is no plain word; write 'key: value'", key_node)
        key = loader.construct_object(key_node)
        if key in seen:
            raise _error(f"key {key!r} stands twice; keep one of them", key_node)
        seen.add(key)
    return loader.construct_mapping(node)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_doubles)


def read_yaml(path: Path) -> dict[str, Any]:
    """Returns the mapping in a YAML file.

    Raises InputError where the file is absent, is not YAML, or holds no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}); name an existing YAML file") from error
    return _parse(text, str(path))


def read_packaged_yaml(name: str) -> dict[str, Any]:
    """Returns the mapping in configs/NAME, as installed."""
    return _parse(packaged(name).read_text(encoding="utf-8"), f"configs/{name}")


def packaged(name: str) -> Path:
    """Returns the path of configs/NAME, as installed."""
    # Not importlib.resources, whose import alone is a third of what a decision takes.
    import configs

    return Path(configs.__path__[0], name)


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        content = yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2020-13-45
        raise InputError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{where} holds no 'key: value' lines; see configs/jobs/ for an example")
    return content


def refuse_unknown_keys(given: Iterable[str], allowed: Iterable[str], where: str) -> None:
    """Raises InputError naming the first key of given that is not in allowed."""
    known = sorted(allowed)
    for key in given:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}{nearest(str(key), known)} (known: {', '.join(known)})")
