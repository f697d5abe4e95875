"""What every manifest must keep, whoever writes the next one. Usage: rules.py FOLDER TOLLGATE"""

import pathlib
import subprocess
import sys
import tempfile

import yaml

folder, tollgate = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
problems = []
seen = {"pods": 0, "containers": 0, "configs": 0, "policies": 0, "dashboards": 0}
dashboards = pathlib.Path("deploy/observability/dashboards")


def pods(document):
    """The pod specs in a manifest, and in the patches that a ConfigMap brings."""
    if document["kind"] == "Pod":
        yield document["spec"], "once"
    elif "template" in document.get("spec", {}):
        yield document["spec"]["template"]["spec"], "serves"
    elif document["kind"] == "ConfigMap" and "patch.yaml" in document["data"]:
        yield yaml.safe_load(document["data"]["patch.yaml"])["spec"]["template"]["spec"], "serves"


def look_at_container(where, container, kind):
    seen["containers"] += 1
    security = container.get("securityContext", {})
    wanted = {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for key, value in wanted.items():
        if security.get(key) != value:
            problems.append(f"{where}: securityContext.{key} is {security.get(key)}, not {value}")
    if not security.get("runAsUser"):
        problems.append(f"{where}: it may run as root")
    for bound in ("requests", "limits"):
        for what in ("cpu", "memory"):
            if what not in container.get("resources", {}).get(bound, {}):
                problems.append(f"{where}: no resources.{bound}.{what}")
    if kind == "serves":
        for probe in ("readinessProbe", "livenessProbe"):
            if probe not in container:
                problems.append(f"{where}: no {probe}")
    image = container.get("image", "")
    if ":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest"):
        problems.append(f"{where}: image {image!r} is not one version")


def look_at_pod(where, pod, kind):
    seen["pods"] += 1
    if pod.get("automountServiceAccountToken") is not False:
        problems.append(f"{where}: a service-account token is mounted, and nothing needs it")
    for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"):
        if pod.get(key):
            problems.append(f"{where}: {key}")
    for volume in pod.get("volumes", []):
        if "hostPath" in volume:
            problems.append(f"{where}: volume {volume['name']} is a folder of the node")
    everyone = pod.get("initContainers", []) + pod.get("containers", [])
    for container in everyone:
        look_at_container(f"{where}, container {container['name']}", container, kind)
        if any("subPath" in mount for mount in container.get("volumeMounts", [])):
            problems.append(f"{where}: a subPath does not change when its ConfigMap does")
    for gate in (it for it in everyone if it["name"] == "tollgate" and kind == "serves"):
        # It must not wait in its start for a server that waits for it.
        if gate.get("startupProbe", {}).get("httpGet", {}).get("path") != "/livez":
            problems.append(f"{where}: the gate's startup probe is not /livez")
        preparing = gate["lifecycle"]["preStop"]["exec"]["command"][-1]
        before = int(preparing.removeprefix("--after=").removesuffix("s"))
        if pod["terminationGracePeriodSeconds"] < before + 30:
            problems.append(f"{where}: the grace period ends before the drain")


def look_at_files(where, data):
    """Configuration and policies in a ConfigMap are what the program itself takes, once the Secret brings a key."""
    config = yaml.safe_load(data["tollgate.yaml"]) if "tollgate.yaml" in data else None
    if config:
        seen["configs"] += 1
        (server,) = config["servers"]
        policies = {"a.yaml": f"server: {server}\nroles: {{ reader: {{ tools: [a] }} }}\n"}
    else:
        seen["policies"] += 1
        policies = dict(data)
    key = subprocess.run([tollgate, "keys", "new", "--id", "a", "--role", "reader"], capture_output=True, text=True, check=True)
    policies["principals.yaml"] = "keys:" + key.stdout.split("\nkeys:", 1)[1]
    with tempfile.TemporaryDirectory() as home:
        folder = pathlib.Path(home, "policies")
        folder.mkdir()
        for name, text in policies.items():
            (folder / name).write_text(text)
        command = [tollgate, "check", "policies"]
        if config:
            pathlib.Path(home, "tollgate.yaml").write_text(yaml.safe_dump(config | {"policies": "policies"}))
            command = [tollgate, "check", "--config", "tollgate.yaml"]
        checked = subprocess.run(command, cwd=home, capture_output=True, text=True)
    if checked.returncode != 0:
        problems.append(f"{where}: tollgate check says\n{checked.stdout}{checked.stderr}")


for file in sorted(folder.glob("*.yaml")):
    for document in filter(None, yaml.safe_load_all(file.read_text())):
        where = f"{file.name}, {document['kind']} {document['metadata']['name']}"
        for pod, kind in pods(document):
            look_at_pod(where, pod, kind)
        if document["kind"] == "ConfigMap" and "grafana_dashboard" in document["metadata"].get("labels", {}):
            seen["dashboards"] += 1
            for name, text in document["data"].items():
                if text != (dashboards / name.removeprefix("tollgate-")).read_text():
                    problems.append(f"{where}: {name} is not as in {dashboards}")
        elif document["kind"] == "ConfigMap" and "patch.yaml" not in document["data"]:
            look_at_files(where, document["data"])

if not all(seen.values()):
    problems.append(f"something was not looked at at all: {seen}")
if problems:
    sys.exit("\n".join(problems))
print(f"rules: kept by {seen['pods']} pods with {seen['containers']} containers, {seen['configs']} configurations")
