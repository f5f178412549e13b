"""The manifests for Kubernetes, each overlay as it would be applied: what is named there is there."""

import re
from pathlib import Path

import pytest
import yaml

from tests.backend.test_environment_template import template
from tests.deploy.cluster import (
    K8S,
    MANY,
    OVERLAYS,
    WORKLOADS,
    app,
    containers,
    named,
    of_kind,
    one,
    overlay,
    pod,
    pods,
    selected,
    settings,
)  # fmt: skip
from tests.deploy.kustomizing import documents

SECRETS = {each["metadata"]["name"]: set(each["stringData"]) for each in documents(K8S / "secret.example.yaml")}
RESTORE = documents(K8S / "restore.yaml")[0]
everywhere = pytest.mark.parametrize("name", OVERLAYS)


@everywhere
def test_an_overlay_is_one_namespace_that_lets_only_restricted_pods_in(name: str) -> None:
    (space,) = of_kind(name, "Namespace")
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [each for each in overlay(name) if each is not space]
    assert {each["metadata"]["namespace"] for each in others} == {space["metadata"]["name"]}


@everywhere
def test_a_workload_selects_its_own_pods_and_nobody_elses(name: str) -> None:
    for each in of_kind(name, "Deployment", "StatefulSet"):
        selector = each["spec"]["selector"]
        found = [other for other, template in pods(name).items() if selected(selector, template["metadata"]["labels"])]
        assert found == [each["metadata"]["name"]]


@everywhere
def test_a_service_leads_to_a_port_of_pods_that_are_there(name: str) -> None:
    for service in of_kind(name, "Service"):
        called = service["metadata"]["name"]
        labels = {"matchLabels": service["spec"]["selector"]}
        found = [other for other, template in pods(name).items() if selected(labels, template["metadata"]["labels"])]
        assert found == [called]
        ports = [port["name"] for each in containers(pods(name)[called]) for port in each.get("ports", [])]
        assert [port["targetPort"] for port in service["spec"]["ports"]] == ports


@everywhere
def test_the_ingress_leads_to_the_service_without_sticky_sessions(name: str) -> None:
    (ingress,) = of_kind(name, "Ingress")
    ((path,),) = (rule["http"]["paths"] for rule in ingress["spec"]["rules"])
    service = one(name, "Service", path["backend"]["service"]["name"])
    assert path["backend"]["service"]["port"]["name"] in [port["name"] for port in service["spec"]["ports"]]
    assert (path["path"], service["spec"]["sessionAffinity"]) == ("/", "None")
    host = ingress["spec"]["rules"][0]["host"]
    assert ingress["spec"]["tls"][0]["hosts"] == [host]
    assert settings(name)["ALLOWED_ORIGINS"] == f"https://{host}"
    assert not [key for key in ingress["metadata"]["annotations"] if "affinity" in key]


@pytest.mark.parametrize("name", ["single", "staging", "production"])
def test_nginx_waits_longer_than_any_silence_buffers_nothing_and_takes_the_largest_file(name: str) -> None:
    annotations = one(name, "Ingress", "askgraph")["metadata"]["annotations"]
    given = {key.rpartition("/")[2]: value for key, value in annotations.items()}
    silence = max(float(template()[key]) for key in ("WS_HEARTBEAT_SECONDS", "SSE_COMMENT_SECONDS"))
    assert int(given["proxy-read-timeout"]) == int(given["proxy-send-timeout"]) == 3600 > 10 * silence
    assert given["proxy-buffering"] == given["proxy-request-buffering"] == "off"
    assert int(given["proxy-body-size"].removesuffix("m")) > int(settings(name)["MAX_FILESIZE_MB"])


@everywhere
def test_mounted_volumes_claims_and_maps_are_there(name: str) -> None:
    claims = {each["metadata"]["name"] for each in of_kind(name, "PersistentVolumeClaim")}
    maps = {each["metadata"]["name"] for each in of_kind(name, "ConfigMap")}
    for each in of_kind(name, *WORKLOADS):
        spec = pod(each)["spec"]
        own = {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"] for volume in spec.get("volumes", [])} | own
        mounted = {mount["name"] for container in containers(pod(each)) for mount in container["volumeMounts"]}
        assert mounted == volumes, each["metadata"]["name"]
        assert set(named(spec, "claimName")) <= claims
        named_maps = [one["name"] for key in ("configMap", "configMapRef") for one in named(spec, key)]
        assert set(named_maps) <= maps


@everywhere
def test_every_secret_that_is_asked_for_stands_in_the_example_and_in_no_overlay(name: str) -> None:
    assert of_kind(name, "Secret") == []
    for each_pod in [*pods(name).values(), *([pod(RESTORE)] if name in MANY else [])]:
        for each in named(each_pod, "secretKeyRef"):
            assert each["key"] in SECRETS[each["name"]]
        assert {each["name"] for each in named(each_pod, "secretRef")} <= set(SECRETS)


def test_the_example_of_secrets_holds_none() -> None:
    for each in documents(K8S / "secret.example.yaml"):
        assert all(re.fullmatch(r"<.+>", value) for value in each["stringData"].values())


@pytest.mark.parametrize("name", MANY)
def test_pods_that_share_no_disk_share_a_database_a_redis_and_a_bucket(name: str) -> None:
    told = settings(name)
    for key, service, scheme in (("DATABASE_URL", "pgbouncer", "postgresql"), ("REDIS_URL", "redis", "redis")):
        (found,) = re.findall(rf"^{scheme}://.*@([\w-]+):(\d+)/", told[key])
        ports = one(name, "Service", service)["spec"]["ports"]
        assert found == (service, str(ports[0]["port"]))
    assert told["STORAGE_URL"].startswith("s3://")
    assert told["SEARCH_BACKEND"] == "postgres"
    assert "emptyDir" in next(volume for volume in app(name)["spec"]["volumes"] if volume["name"] == "data")


def test_staging_and_production_share_nothing_that_is_written() -> None:
    buckets = {settings(name)["STORAGE_URL"] for name in ("staging", "production")}
    spaces = {overlay(name)[0]["metadata"]["name"] for name in ("staging", "production")}
    assert (len(buckets), len(spaces)) == (2, 2)


def test_the_single_pod_has_a_disk_and_never_a_twin() -> None:
    deployment = one("single", "Deployment", "askgraph")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    claimed = named(deployment, "claimName")
    assert claimed == [each["metadata"]["name"] for each in of_kind("single", "PersistentVolumeClaim")]
    assert not {"DATABASE_URL", "REDIS_URL", "STORAGE_URL", "SEARCH_BACKEND"} & set(settings("single"))
    assert of_kind("single", "HorizontalPodAutoscaler", "StatefulSet", "CronJob") == []


@pytest.mark.parametrize("name", MANY)
def test_a_backup_is_made_and_put_back_by_the_version_that_holds_the_data(name: str) -> None:
    (server,) = pods(name)["postgres"]["spec"]["containers"]
    (backup,), (restore,) = pods(name)["backup"]["spec"]["containers"], pod(RESTORE)["spec"]["containers"]
    assert server["image"] == backup["image"] == restore["image"]
    scripts = one(name, "ConfigMap", "backup-scripts")["data"]
    for container in (backup, restore):
        folder, _, script = container["command"][-1].rpartition("/")
        assert script in scripts
        assert folder in [mount["mountPath"] for mount in container["volumeMounts"]]
    assert named(pod(RESTORE), "claimName") == named(pods(name)["backup"], "claimName")
    assert pod(RESTORE)["metadata"]["labels"].items() <= pods(name)["backup"]["metadata"]["labels"].items()


def test_no_kustomization_leaves_a_file_out() -> None:
    listed = {K8S / "secret.example.yaml", K8S / "restore.yaml"}
    for file in K8S.rglob("kustomization.yaml"):
        (wanted,) = documents(file)
        names = [
            *wanted.get("resources", []),
            *(patch["path"] for patch in wanted.get("patches", []) if "path" in patch),
        ]
        names += [
            name
            for each in wanted.get("configMapGenerator", [])
            for key in ("files", "envs")
            for name in each.get(key, [])
        ]
        listed |= {file, *((file.parent / name).resolve() for name in names)}
    there = {file for file in K8S.rglob("*") if file.is_file() and file.parent.name != "monitoring"}
    assert {file for file in listed if not Path(file).is_dir()} == there


def test_a_yaml_file_says_no_key_twice() -> None:
    for file in K8S.rglob("*.yaml"):
        for node in yaml.compose_all(file.read_text("utf-8")):
            _once(node, file)


def _once(node: yaml.Node | None, file: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        assert sorted(set(keys)) == sorted(keys), file
        for _, value in node.value:
            _once(value, file)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _once(value, file)
