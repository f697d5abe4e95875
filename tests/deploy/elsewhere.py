"""The examples for places without Kubernetes, as far as those places can be asked without an account: Fargate by the model of
its interface that AWS ships, Cloud Run by the schema of a pod, Container Apps and Terraform by their grammars.

Nothing here says that they run there.
"""

import json
import pathlib
import shutil
import subprocess
import sys

import botocore.session
import hcl2
import kubernetes_validate
import lark
import tree_sitter
import tree_sitter_bicep
import yaml
from botocore.validate import ParamValidator

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
CLOUD = DEPLOY / "cloud"
problems = []


def fargate(file):
    service = botocore.session.get_session().get_service_model("ecs")
    task = json.loads(file.read_text())
    report = ParamValidator().validate(task, service.operation_model("RegisterTaskDefinition").input_shape)
    if report.has_errors():
        problems.append(f"{file.name}: {report.generate_report()}")
    for container in task["containerDefinitions"]:
        if not container.get("readonlyRootFilesystem") or "memory" not in container:
            problems.append(f"{file.name}: {container['name']} writes to its root, or takes what memory it likes")


def cloud_run(file):
    """A service of Knative's, whose template is a pod's but for what Google adds in annotations."""
    template = yaml.safe_load(file.read_text())["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": template["spec"]}
    try:
        kubernetes_validate.validate(pod, "1.34", strict=True)
    except kubernetes_validate.ValidationError as error:
        problems.append(f"{file.name}: {error.message}")


def container_apps(file):
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bicep.language()))
    nodes = [parser.parse(file.read_bytes()).root_node]
    for node in nodes:
        if node.is_error or node.is_missing:
            problems.append(f"{file.name}:{node.start_point[0] + 1}: not Bicep")
        nodes.extend(node.children)


def terraform(folder):
    for file in folder.glob("*.tf"):
        try:
            hcl2.loads(file.read_text())
        except lark.exceptions.UnexpectedInput as error:
            problems.append(f"{file.name}:{error.line}: not HCL")
    # Whoever has the program is told of its layout as well.
    if shutil.which("terraform") and subprocess.run(["terraform", "fmt", "-check", str(folder)], capture_output=True).returncode:
        problems.append(f"{folder.name}: `terraform fmt` would write it otherwise")


fargate(CLOUD / "ecs-task.json")
cloud_run(CLOUD / "cloud-run.yaml")
container_apps(CLOUD / "container-apps.bicep")
terraform(DEPLOY / "terraform")
if problems:
    sys.exit("\n".join(["elsewhere:", *problems]))
print("elsewhere: a task of Fargate's, a service of Cloud Run's, Bicep and Terraform are well formed")
