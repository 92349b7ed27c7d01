"""Judges of Kubernetes objects: schemas, strictly read YAML, and rules of good practice.

Kubernetes' own kinds have their schemas in `kubernetes-validate`. Those of operators are in no
registry of packages: what is used of them is written down here, from their definitions, and the
pods in them are held against Kubernetes' schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import jsonschema
import kubernetes_validate
import yaml

Document = dict[str, Any]

_TEXT: Final = {"type": "string", "minLength": 1}
_COUNT: Final = {"type": "integer", "minimum": 0}
_FLAG: Final = {"type": "boolean"}
_ANY: Final = {"type": "object"}
_TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_DURATION: Final = {"type": "string", "pattern": r"^(\d+(ms|s|m|h|d|w|y))+$"}


def _object(*required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


def _list(items: Any, least: int = 1) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least}


_POD = _object("spec", metadata=_ANY, spec=_ANY)
_SPECS: Final = {
    ("keda.sh/v1alpha1", "ScaledObject"): _object(
        "scaleTargetRef",
        "triggers",
        scaleTargetRef=_object("name", name=_TEXT),
        minReplicaCount=_COUNT,
        maxReplicaCount=_COUNT,
        triggers=_list(
            _object(
                "type",
                "metadata",
                type=_TEXT,
                metricType={"enum": ["AverageValue", "Value", "Utilization"]},
                metadata=_TEXTS,
            )
        ),
        advanced=_object(
            horizontalPodAutoscalerConfig=_object(behavior=_object(scaleDown=_ANY, scaleUp=_ANY))
        ),
    ),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _object(
        "selector",
        "endpoints",
        jobLabel=_TEXT,
        selector=_object(matchLabels=_TEXTS),
        endpoints=_list(_object(port=_TEXT, interval=_DURATION)),
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _object(
        groups=_list(
            _object(
                "name",
                name=_TEXT,
                rules=_list(
                    _object(
                        "expr",
                        "alert",
                        alert=_TEXT,
                        expr=_TEXT,
                        labels=_TEXTS,
                        annotations=_TEXTS,
                        **{"for": _DURATION},
                    )
                ),
            )
        )
    ),
    ("gateway.networking.k8s.io/v1", "GRPCRoute"): _object(
        parentRefs=_list(_object("name", name=_TEXT, namespace=_TEXT, sectionName=_TEXT)),
        hostnames=_list(_TEXT),
        rules=_list(_object(backendRefs=_list(_object("name", name=_TEXT, port=_COUNT)))),
    ),
    ("serving.kserve.io/v1alpha1", "ServingRuntime"): _object(
        "containers",
        annotations=_TEXTS,
        supportedModelFormats=_list(
            _object("name", name=_TEXT, version=_TEXT, autoSelect=_FLAG, priority=_COUNT)
        ),
        protocolVersions=_list({"enum": ["v1", "v2", "grpc-v1", "grpc-v2"]}),
        containers=_list(_ANY),
        volumes=_list(_ANY),
    ),
    ("serving.kserve.io/v1beta1", "InferenceService"): _object(
        "predictor",
        predictor=_object(
            minReplicas=_COUNT,
            maxReplicas=_COUNT,
            model=_object(
                "modelFormat",
                modelFormat=_object("name", name=_TEXT, version=_TEXT),
                runtime=_TEXT,
                protocolVersion={"enum": ["v1", "v2", "grpc-v1", "grpc-v2"]},
                storageUri=_TEXT,
            ),
        ),
    ),
    ("ray.io/v1", "RayJob"): _object(
        entrypoint=_TEXT,
        shutdownAfterJobFinishes=_FLAG,
        ttlSecondsAfterFinished=_COUNT,
        backoffLimit=_COUNT,
        rayClusterSpec=_object(
            "headGroupSpec",
            rayVersion=_TEXT,
            headGroupSpec=_object("template", rayStartParams=_TEXTS, template=_POD),
            workerGroupSpecs=_list(
                _object(
                    "groupName",
                    "template",
                    groupName=_TEXT,
                    replicas=_COUNT,
                    minReplicas=_COUNT,
                    maxReplicas=_COUNT,
                    rayStartParams=_TEXTS,
                    template=_POD,
                )
            ),
        ),
    ),
}


class _Strict(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that stands twice in a mapping, as a cluster's strict reading does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{twice} twice", node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def documents(text: str) -> list[Document]:
    """The objects of a YAML file, none of whose keys stands twice."""
    return [document for document in yaml.load_all(text, _Strict) if document]


def validate(document: Document) -> None:
    """Raises where an object is not what its kind's schema says."""
    spec = _SPECS.get((document["apiVersion"], document["kind"]))
    if spec is None:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        return
    jsonschema.validate(
        document,
        _object("metadata", "spec", apiVersion=_TEXT, kind=_TEXT, metadata=_ANY, spec=spec),
    )
    for pod in pods(document):
        kubernetes_validate.validate(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod},
            kubernetes_validate.latest_version(),
            strict=True,
        )


def pods(document: Document) -> Iterator[Document]:
    """The pod specs of an object."""
    spec = document.get("spec", {})
    match document["kind"]:
        case "Deployment" | "Job":
            yield spec["template"]["spec"]
        case "ServingRuntime":
            yield {key: spec[key] for key in ("containers", "volumes")}
        case "RayJob":
            cluster = spec["rayClusterSpec"]
            for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
                yield group["template"]["spec"]


def bad_practice(pod: Document) -> Iterator[str]:
    """Complaints of a linter of manifests about a pod's spec."""
    if any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
        yield "the pod shares the node's namespaces"
    volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
    yield from (f"{name} is a path of the node" for name in volumes if "hostPath" in volumes[name])
    mounted = set()
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        name = container["name"]
        image = container["image"]
        if "@sha256:" not in image and image.partition(":")[2] in ("", "latest"):
            yield f"{name}: {image} is not one image"
        user = pod.get("securityContext", {}) | container.get("securityContext", {})
        if not user.get("runAsNonRoot") or not user.get("runAsUser"):
            yield f"{name} may run as root"
        if user.get("allowPrivilegeEscalation") is not False or user.get("privileged"):
            yield f"{name} may gain privileges"
        if user.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name} keeps capabilities"
        resources = container.get("resources", {})
        if {"cpu", "memory"} - resources.get("requests", {}).keys():
            yield f"{name} requests no cpu or memory"
        if "memory" not in resources.get("limits", {}):
            yield f"{name} has no limit of memory"
        given = [variable["name"] for variable in container.get("env", ()) if "value" in variable]
        open_ones = [name for name in given if name.endswith(("KEY", "TOKEN", "PASSWORD"))]
        yield from (f"{name}: {variable} is no secret" for variable in open_ones)
        variables = [variable["name"] for variable in container.get("env", ())]
        if len(set(variables)) < len(variables):
            yield f"{name} has a variable twice"
        paths = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
        if len(set(paths)) < len(paths):
            yield f"{name} mounts a path twice"
        mounted |= {mount["name"] for mount in container.get("volumeMounts", ())}
    if mounted != volumes.keys():
        yield f"volumes {sorted(volumes)} are not what is mounted, {sorted(mounted)}"
