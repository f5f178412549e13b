"""Builds a kustomization: a small part of kustomize, for tests that must run without it. Nothing is deployed with this.

It knows what deploy/k8s uses and refuses everything else: `resources`, `namespace`, `labels`, `images`, `patches`
(strategic merge; RFC 6902's add, replace, remove) and `configMapGenerator` (files, envs, literals, merge, hashes in the
names). Where kustomize itself is there, test_kubernetes_tools.py compares both, object by object.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
KNOWN = {"apiVersion", "kind", "namespace", "labels", "resources", "images", "configMapGenerator", "patches"}
GENERATOR = {"name", "behavior", "files", "envs", "literals", "options"}
CLUSTER_WIDE = {"Namespace"}
KEYS = {"containers": "name", "initContainers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath"}
"""Lists that are merged by a key of their items; every other list is replaced whole."""
CONFIG_NAMES = {"configMapRef": "name", "configMapKeyRef": "name", "configMap": "name"}


class NotKnown(ValueError):
    """The kustomization asks for something that this builder does not do."""


@dataclass
class _Stage:
    objects: list[Object] = field(default_factory=list)
    hashed: set[str] = field(default_factory=set)
    """Names of ConfigMaps that get a hash at the end."""


def build(folder: Path) -> list[Object]:
    """The objects of `folder`, as they would be applied. Raises NotKnown."""
    stage = _stage(folder)
    names = {one["metadata"]["name"]: _with_hash(one) for one in _configs(stage) if _name(one) in stage.hashed}
    for one in stage.objects:
        if one["kind"] == "ConfigMap":
            one["metadata"]["name"] = names.get(_name(one), _name(one))
        _rename(one, names)
    return stage.objects


def documents(file: Path) -> list[Object]:
    """A file's documents, with nothing shared between the places where an alias stands."""
    return [json.loads(json.dumps(one)) for one in yaml.safe_load_all(file.read_text("utf-8")) if one]


def _stage(folder: Path) -> _Stage:
    (wanted,) = documents(folder / "kustomization.yaml")
    _only(wanted, KNOWN, folder)
    stage = _Stage()
    for resource in wanted.get("resources", []):
        _take(stage, folder / resource)
    for generator in wanted.get("configMapGenerator", []):
        _generate(stage, folder, generator)
    for patch in wanted.get("patches", []):
        _patch(stage.objects, folder, patch)
    for one in stage.objects:
        if (namespace := wanted.get("namespace")) and one["kind"] not in CLUSTER_WIDE:
            one["metadata"]["namespace"] = namespace
        for labels in wanted.get("labels", []):
            _label(one, labels)
        for image in wanted.get("images", []):
            _image(one, image)
    return stage


def _only(given: Object, known: set[str], where: object) -> None:
    if unknown := set(given) - known:
        raise NotKnown(f"{where}: {sorted(unknown)}")


def _name(one: Object) -> str:
    name: str = one["metadata"]["name"]
    return name


def _configs(stage: _Stage) -> list[Object]:
    return [one for one in stage.objects if one["kind"] == "ConfigMap"]


def _take(stage: _Stage, path: Path) -> None:
    inner = _stage(path) if path.is_dir() else _Stage(documents(path))
    ids = {(one["kind"], _name(one)) for one in stage.objects}
    if twice := [one for one in inner.objects if (one["kind"], _name(one)) in ids]:
        raise NotKnown(f"{path}: {_name(twice[0])} is there twice")
    stage.objects += inner.objects
    stage.hashed |= inner.hashed


def _generate(stage: _Stage, folder: Path, wanted: Object) -> None:
    _only(wanted, GENERATOR, folder)
    data = {}
    for name in wanted.get("files", []):
        data[Path(name).name] = (folder / name).read_text("utf-8")
    lines = [line for name in wanted.get("envs", []) for line in (folder / name).read_text("utf-8").splitlines()]
    for line in [line for line in lines if line.strip() and not line.startswith("#")] + wanted.get("literals", []):
        key, _, data[key] = line.partition("=")
    if wanted.get("behavior") == "merge":
        (there,) = (one for one in _configs(stage) if _name(one) == wanted["name"])
        there["data"].update(data)
        return
    stage.objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": wanted["name"]}, "data": data})
    if not wanted.get("options", {}).get("disableNameSuffixHash"):
        stage.hashed.add(wanted["name"])


def _with_hash(config: Object) -> str:
    """kustomize's name: ten digits of the SHA-256 of the map's JSON, those that could spell words replaced.

    The JSON is Go's, and says no name: what is in the map makes the hash.
    """
    told = {"data": config["data"], "kind": "ConfigMap", "name": ""}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for sign in "&<>":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    digits = hashlib.sha256(text.encode()).hexdigest()[:10]
    return f"{_name(config)}-{digits.translate(str.maketrans('013ae', 'ghkmt'))}"


def _rename(value: Any, names: dict[str, str]) -> None:
    for key, inner in _pairs(value):
        if key in CONFIG_NAMES and isinstance(inner, dict) and inner.get("name") in names:
            inner["name"] = names[inner["name"]]
        _rename(inner, names)


def _pairs(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def _label(one: Object, wanted: Object) -> None:
    _only(wanted, {"pairs", "includeTemplates"}, "labels")
    places = [one, *(_templates(one) if wanted.get("includeTemplates") else [])]
    for place in places:
        place.setdefault("metadata", {}).setdefault("labels", {}).update(wanted["pairs"])


def _templates(one: Object) -> list[Object]:
    """The templates of pods, of jobs and of volume claims in an object."""
    spec = one.get("spec", {})
    job = spec.get("jobTemplate")
    found = [spec["template"]] if one["kind"] in ("Deployment", "StatefulSet") else []
    found += spec.get("volumeClaimTemplates", []) if one["kind"] == "StatefulSet" else []
    return found + ([job, job["spec"]["template"]] if job else [])


def _image(one: Object, wanted: Object) -> None:
    _only(wanted, {"name", "newName", "newTag"}, "images")
    for pod in (template for template in _templates(one) if "containers" in template.get("spec", {})):
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            name, _, tag = container["image"].partition(":")
            if name == wanted["name"]:
                container["image"] = f"{wanted.get('newName', name)}:{wanted.get('newTag', tag)}"


def _patch(objects: list[Object], folder: Path, wanted: Object) -> None:
    _only(wanted, {"path", "patch", "target"}, folder)
    text = wanted["patch"] if "patch" in wanted else (folder / wanted["path"]).read_text("utf-8")
    patch = yaml.safe_load(text)
    target = wanted.get("target") or {"kind": patch["kind"], "name": patch["metadata"]["name"]}
    _only(target, {"kind", "name"}, folder)
    found = [one for one in objects if one["kind"] == target["kind"] and re.fullmatch(target["name"], _name(one))]
    if not found:
        raise NotKnown(f"{folder}: a patch for {target}, which is not there")
    for one in found:
        if isinstance(patch, list):
            for step in patch:
                _step(one, step)
        else:
            _merge(one, patch)


def _step(one: Object, step: Object) -> None:
    """A step of RFC 6902."""
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:]]
    place: Any = one
    for part in way:
        place = place[int(part) if isinstance(place, list) else part]
    key = int(last) if isinstance(place, list) else last
    if step["op"] == "add" and isinstance(place, dict):
        place[key] = deepcopy(step["value"])
    elif step["op"] == "replace":
        place[key]  # it must be there
        place[key] = deepcopy(step["value"])
    elif step["op"] == "remove":
        del place[key]
    else:
        raise NotKnown(f"op: {step['op']}")


def _merge(old: Object, new: Object) -> None:
    """A strategic merge: null takes away, maps are merged, lists too where KEYS says by what."""
    for key, value in new.items():
        if value is None:
            old.pop(key, None)
        elif isinstance(value, dict) and isinstance(old.get(key), dict):
            _merge(old[key], value)
        elif key in KEYS and isinstance(old.get(key), list):
            _merge_items(old[key], value, KEYS[key])
        else:
            old[key] = deepcopy(value)


def _merge_items(old: list[Object], new: list[Object], key: str) -> None:
    """The patch's items come first, as kustomize has them."""
    there = {one[key]: one for one in old}
    named = [there.pop(item[key], {}) for item in new]
    for one, item in zip(named, new, strict=True):
        _merge(one, item)
    old[:] = [*named, *there.values()]
