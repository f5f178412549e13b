"""What the built overlays hold, asked as a cluster would: workloads, their pods, what these are told."""

from functools import cache
from typing import Any

from tests.deploy.kustomizing import Object, build
from tests.deploy.promtool import ROOT

K8S = ROOT / "deploy" / "k8s"
OVERLAYS = ("single", "staging", "production", "k3s")
MANY = ("staging", "production", "k3s")
WORKLOADS = ("Deployment", "StatefulSet", "CronJob", "Job")


@cache
def overlay(name: str) -> list[Object]:
    return build(K8S / "overlays" / name)


def of_kind(name: str, *kinds: str) -> list[Object]:
    return [one for one in overlay(name) if one["kind"] in kinds]


def one(name: str, kind: str, called: str) -> Object:
    (found,) = (each for each in of_kind(name, kind) if each["metadata"]["name"] == called)
    return found


def pod(workload: Object) -> Object:
    """The template of its pods."""
    spec = workload["spec"]
    template: Object = (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"]
    return template


def pods(name: str) -> dict[str, Object]:
    """The templates of pods by their workloads' names."""
    return {each["metadata"]["name"]: pod(each) for each in of_kind(name, *WORKLOADS)}


def containers(template: Object) -> list[Object]:
    return [*template["spec"]["containers"], *template["spec"].get("initContainers", [])]


def selected(selector: Object, labels: Object) -> bool:
    """Whether a label selector takes these labels; an empty one takes all."""
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(_expression(each, labels) for each in selector.get("matchExpressions", []))


def _expression(wanted: Object, labels: Object) -> bool:
    assert wanted["operator"] == "In", "no other operator is used"
    return labels.get(wanted["key"]) in wanted["values"]


def app(name: str) -> Object:
    """The template of the service's pods."""
    return pod(one(name, "Deployment", "askgraph"))


def settings(name: str) -> dict[str, str]:
    """What the service is told: the map's values, then its own variables'."""
    (container,) = app(name)["spec"]["containers"]
    config = one(name, "ConfigMap", container["envFrom"][0]["configMapRef"]["name"])
    return config["data"] | {each["name"]: each.get("value", "") for each in container.get("env", [])}


def named(value: Any, key: str) -> list[Any]:
    """Every value that stands under `key`, however deep."""
    if isinstance(value, list):
        return [found for inner in value for found in named(inner, key)]
    if not isinstance(value, dict):
        return []
    here = [value[key]] if key in value else []
    return here + [found for inner in value.values() for found in named(inner, key)]
