"""What the manifests for Kubernetes make of pods: what they may do, are told, and how they come and go."""

import re

import pytest

from tests.backend.test_environment_template import older_names, template
from tests.deploy.cluster import (
    K8S,
    MANY,
    OVERLAYS,
    app,
    containers,
    named,
    of_kind,
    one,
    pod,
    pods,
    selected,
    settings,
)  # fmt: skip
from tests.deploy.kustomizing import documents
from tests.deploy.promtool import ROOT
from tests.e2e.route_table import ROWS

ROUTES = {(row.method, row.path) for row in ROWS}
IMAGE = re.compile(r"[a-z0-9./-]+:v?\d[\w.-]*")
OURS = "ghcr.io/OWNER/askgraph"
"""OWNER is to be replaced, and is no name of an image: whoever forgets it is told so by the cluster."""
TEMPORARY = "/tmp"  # noqa: S108  # in the container, and a volume of the pod's own
SECRETS = {each["metadata"]["name"]: set(each["stringData"]) for each in documents(K8S / "secret.example.yaml")}
PARTS = {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}
"""Variables of the service's container that its URLs are made of."""
RESTORE = documents(K8S / "restore.yaml")[0]
everywhere = pytest.mark.parametrize("name", OVERLAYS)


@everywhere
def test_the_probes_ask_routes_that_are_there(name: str) -> None:
    (container,) = app(name)["spec"]["containers"]
    asked = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "readiness", "liveness")}
    assert {("GET", each["path"]) for each in asked.values()} <= ROUTES
    assert {probe: each["path"] for probe, each in asked.items()} == {
        "startup": "/health/ready", "readiness": "/health/ready", "liveness": "/health/live",
    }  # fmt: skip
    assert {each["port"] for each in asked.values()} == {container["ports"][0]["name"]}
    scraped = app(name)["metadata"]["annotations"]
    assert ("GET", scraped["prometheus.io/path"]) in ROUTES
    assert int(scraped["prometheus.io/port"]) == container["ports"][0]["containerPort"] == int(template()["PORT"])


@everywhere
def test_every_container_that_stays_is_probed(name: str) -> None:
    for each in of_kind(name, "Deployment", "StatefulSet"):
        for container in pod(each)["spec"]["containers"]:
            assert {"readinessProbe", "livenessProbe"} <= set(container), container["name"]


@everywhere
def test_a_pod_has_the_time_to_drain(name: str) -> None:
    spec = app(name)["spec"]
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = float(settings(name)["SHUTDOWN_GRACE_SECONDS"])
    assert spec["terminationGracePeriodSeconds"] >= pause + grace + 10


@everywhere
def test_no_pod_may_do_more_than_it_must(name: str) -> None:
    for workload, each_pod in [*pods(name).items(), ("restore", pod(RESTORE))]:
        spec = each_pod["spec"]
        assert spec["automountServiceAccountToken"] is False, workload
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not named(spec, "hostPath")
        for container in containers(each_pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }, container["name"]  # fmt: skip
            for amount in ("requests", "limits"):
                assert set(container["resources"][amount]) == {"cpu", "memory", "ephemeral-storage"}


@everywhere
def test_the_service_runs_as_the_user_of_its_image_and_writes_where_the_image_may(name: str) -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8")
    (uid,) = set(re.findall(r"--uid (\d+)", image))
    spec = app(name)["spec"]
    assert {spec["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {int(uid)}
    (volume,) = re.findall(r"^VOLUME (\S+)$", image, re.MULTILINE)
    for container in containers(app(name)):
        assert {each["mountPath"] for each in container["volumeMounts"]} == {volume, TEMPORARY}


@everywhere
def test_every_variable_is_a_setting(name: str) -> None:
    known = set(template())
    given = set(settings(name))
    assert given - PARTS <= known
    assert not given & set(older_names())
    assert SECRETS["askgraph"] <= known
    if name == "single":
        assert not given & PARTS


@pytest.mark.parametrize("name", MANY)
def test_the_initial_step_is_told_the_same_as_the_service(name: str) -> None:
    spec = app(name)["spec"]
    (service,), (migrate,) = spec["containers"], spec["initContainers"]
    assert [migrate[key] for key in ("image", "env", "envFrom")] == [
        service[key] for key in ("image", "env", "envFrom")
    ]
    assert migrate["command"] == ["askgraph", "migrate"]


@pytest.mark.parametrize("name", MANY)
def test_a_url_is_made_of_passwords_that_stand_before_it(name: str) -> None:
    (container,) = app(name)["spec"]["containers"]
    before: list[str] = []
    for each in container["env"]:
        assert set(re.findall(r"\$\((\w+)\)", each.get("value", ""))) <= set(before)
        before.append(each["name"])
    assert {"DATABASE_URL", "REDIS_URL"} <= set(before)


@pytest.mark.parametrize("name", MANY)
def test_a_release_takes_no_pod_away_before_the_next_is_ready(name: str) -> None:
    for called in ("askgraph", "pgbouncer"):
        strategy = one(name, "Deployment", called)["spec"]["strategy"]
        assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        budget = one(name, "PodDisruptionBudget", called)["spec"]
        assert selected(budget["selector"], pods(name)[called]["metadata"]["labels"])
        spread = pods(name)[called]["spec"]["topologySpreadConstraints"][0]
        assert spread["topologyKey"] == "kubernetes.io/hostname"
        assert selected(spread["labelSelector"], pods(name)[called]["metadata"]["labels"])
        assert spread["whenUnsatisfiable"] == ("ScheduleAnyway" if name == "staging" else "DoNotSchedule")


@everywhere
def test_images_are_pinned_by_version(name: str) -> None:
    images = {each["image"] for each_pod in pods(name).values() for each in containers(each_pod)}
    theirs = {image for image in images if not image.startswith(f"{OURS}:")}
    assert len(images - theirs) == 1
    assert [image for image in theirs if not IMAGE.fullmatch(image)] == []
    assert {image.rpartition(":")[2] for image in images - theirs} != {"latest"}


@everywhere
def test_another_setting_is_another_map_so_that_the_pods_roll(name: str) -> None:
    """Names end in a hash of what is in them; scripts that are read anew at each run keep theirs."""
    names = {each["metadata"]["name"] for each in of_kind(name, "ConfigMap")} - {"backup-scripts"}
    assert [each for each in names if not re.fullmatch(r"[a-z]+-[a-z0-9]{10}", each)] == []
