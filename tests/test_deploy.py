"""What deploy/ says fits what is pinned: one version of Beam, of Flink and of Afterfact everywhere."""

import re
from pathlib import Path

import pytest
import yaml

import afterfact
from pipelines.runners import parse_beam_flags

HOUSE = Path(afterfact.__file__).parent
DEPLOY = HOUSE / "deploy"


def pinned(name, file="pins.txt"):
    text = (HOUSE / "requirements" / file).read_text("utf-8")
    return re.search(rf"^{name}==(.+)$", text, re.MULTILINE)[1]


def manifests(name):
    return {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / name).read_text("utf-8"))}


def containers(manifest):
    spec = manifest["spec"]
    pods = [spec["template"]] if "template" in spec else [spec["taskManager"]["podTemplate"]]
    return [container for pod in pods for container in pod["spec"]["containers"]]


def test_the_worker_image_installs_from_the_pins_and_has_their_beam():
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert f"ARG BEAM={pinned('apache-beam')}" in text
    assert "--no-deps -r requirements/pins.txt" in text
    for copied in re.findall(r"^COPY (\S+) \S+$", text, re.MULTILINE):
        assert (HOUSE / copied).exists()


def test_the_cluster_is_of_one_flink_one_beam_and_one_image():
    flink = manifests("flink.yaml")
    short = ".".join(pinned("apache-flink-libraries", "flink.txt").split(".")[:2])
    assert flink["FlinkDeployment"]["spec"]["image"] == f"flink:{short}"
    assert flink["FlinkDeployment"]["spec"]["flinkVersion"] == f"v{short.replace('.', '_')}"
    (server,) = containers(flink["Deployment"])
    assert server["image"] == f"apache/beam_flink{short}_job_server:{pinned('apache-beam')}"
    (workers,) = containers(flink["FlinkDeployment"])
    (index,) = containers(manifests("index-job.yaml")["Job"])
    assert workers["image"] == index["image"]
    assert workers["image"] in (DEPLOY / "Dockerfile").read_text("utf-8")


def test_the_job_speaks_to_the_cluster_that_is_beside_it():
    flink = manifests("flink.yaml")
    (index,) = containers(manifests("index-job.yaml")["Job"])
    options = parse_beam_flags(index["args"]).get_all_options()
    name = flink["FlinkDeployment"]["metadata"]["name"]
    assert options["flink_master"] == f"{name}-rest:8081"
    assert options["parallelism"] == flink["FlinkDeployment"]["spec"]["taskManager"]["replicas"]
    service = flink["Service"]
    ports = {one["name"]: one["port"] for one in service["spec"]["ports"]}
    assert options["job_endpoint"] == f"{service['metadata']['name']}:{ports['jobs']}"
    assert options["artifact_endpoint"] == f"{service['metadata']['name']}:{ports['artifacts']}"
    (workers,) = containers(flink["FlinkDeployment"])
    assert f"--service_port={options['environment_config'].rpartition(':')[2]}" in workers["command"]


@pytest.mark.parametrize("name", ["flink.yaml", "index-job.yaml"])
def test_every_volume_that_is_mounted_is_there(name):
    for manifest in manifests(name).values():
        if manifest["kind"] == "Service":
            continue
        spec = manifest["spec"]
        pod = (spec["template"] if "template" in spec else spec["taskManager"]["podTemplate"])["spec"]
        there = {one["name"] for one in pod.get("volumes", [])}
        mounted = {one["name"] for container in pod["containers"] for one in container.get("volumeMounts", [])}
        assert mounted == there
