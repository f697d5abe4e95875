"""What no program here reads: collector configurations, compose files, dashboards and pages, by their structure.

The OpenTelemetry Collector cannot be had from the registries that this test uses, so its own `validate` is not run:
collector.schema.yaml beside this file says what its components take.
"""

import json
import pathlib
import re
import sys

import jsonschema
import yaml

REPO = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = REPO / "deploy"
problems = []
COLLECTOR = jsonschema.Draft202012Validator(yaml.safe_load(pathlib.Path(__file__).with_name("collector.schema.yaml").read_text()))


def outcomes():
    """The words of outcomes, from the one place that has them."""
    source = (REPO / "src/exchange/mod.rs").read_text()
    label = re.search(r"impl Outcome \{.*?fn label.*?\n    \}", source, re.DOTALL)
    words = set(re.findall(r'=> "(\w+)"', label[0])) if label else set()
    if not {"ok", "cancelled", "denied"} <= words:
        sys.exit("src/exchange/mod.rs: Outcome::label is not where it was, or says something else")
    return words


# What nobody's doing or the caller's own leave it at, and all the rest.
NOT_WELL = outcomes() - {"ok", "cancelled"}


def hold(condition, problem):
    if not condition:
        problems.append(problem)


def look_at_collector(path):
    config = yaml.safe_load(path.read_text())
    for error in COLLECTOR.iter_errors(config):
        hold(False, f"{path.name}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
    named = {"receivers": set(), "processors": set(), "exporters": set()}
    connectors = set(config.get("connectors", {}))
    for name, pipeline in config["service"]["pipelines"].items():
        where = f"{path.name}: pipeline {name}"
        for kind, used in named.items():
            used |= set(pipeline[kind])
            unknown = set(pipeline[kind]) - set(config[kind]) - (connectors if kind != "processors" else set())
            hold(not unknown, f"{where}: {kind} that are not declared: {sorted(unknown)}")
        processors = pipeline["processors"]
        hold(processors[0] == "memory_limiter", f"{where}: memory_limiter must be first")
        leaves = set(pipeline["exporters"]) - connectors
        hold(not leaves or processors[-1] == "batch", f"{where}: batch must be last")
        if name.split("/")[0] == "traces" and leaves:
            hold("tail_sampling" in processors, f"{where}: traces are not sampled")
    for kind, used in named.items():
        hold(set(config[kind]) <= used, f"{path.name}: {kind} that no pipeline uses: {sorted(set(config[kind]) - used)}")
    for connector in connectors:
        hold({connector} <= named["receivers"] & named["exporters"], f"{path.name}: connector {connector} ends nowhere")
    hold(set(config["service"]["extensions"]) == set(config["extensions"]), f"{path.name}: extensions declared and used differ")

    policies = {each["name"]: each for each in config["processors"]["tail_sampling"]["policies"]}
    for each in policies.values():
        hold(each["type"] in each, f"{path.name}: policy {each['name']}: nothing under {each['type']}")
    kept = set()
    for each in policies.values():
        if each["type"] == "string_attribute" and each["string_attribute"]["key"] == "tollgate.outcome":
            kept |= set(each["string_attribute"]["values"])
    hold(kept == NOT_WELL, f"{path.name}: outcomes kept: {sorted(kept)}")
    hold({"latency", "probabilistic", "status_code"} <= {each["type"] for each in policies.values()}, f"{path.name}: slow, failed or other traces")

    def leaves_of(value, key=""):
        if isinstance(value, dict):
            for inner, each in value.items():
                yield from leaves_of(each, inner)
        elif isinstance(value, list):
            for each in value:
                yield from leaves_of(each, key)
        else:
            yield key, value

    for key, value in leaves_of(config["exporters"]):
        if re.search(r"key$|token|secret|password|connection_string", key) and isinstance(value, str):
            hold(re.fullmatch(r"\$\{env:\w+\}", value), f"{path.name}: {key} must come from the environment")


def look_at_dashboard(path, seen):
    board = json.loads(path.read_text())
    hold(board["uid"] not in seen, f"{path.name}: uid {board['uid']} twice")
    seen.add(board["uid"])
    hold(isinstance(board["schemaVersion"], int) and board["title"] and board["description"], f"{path.name}: no version, title or description")
    names = [each["name"] for each in board["templating"]["list"]]
    taken = set()
    for panel in board["panels"]:
        where = f"{path.name}: {panel['title']}"
        hold(panel["description"] and panel["fieldConfig"]["defaults"]["unit"], f"{where}: no description or unit")
        for target in panel["targets"]:
            hold(target["datasource"]["uid"].strip("${}") in names, f"{where}: datasource without a variable")
            for used in re.findall(r"\$(?!__)\{?(\w+)", target.get("expr", target.get("query"))):
                hold(used in names, f"{where}: no variable ${used}")
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        hold(at["x"] + at["w"] <= 24 and not cells & taken, f"{where}: lies over another panel, or over the edge")
        taken |= cells


def look_at_rules():
    text = (DEPLOY / "observability/rules.yaml").read_text()
    tests = (DEPLOY / "observability/rules.test.yaml").read_text()
    alerts = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"] if "alert" in rule]
    names = {alert["alert"] for alert in alerts}
    for alert in alerts:
        name = alert["alert"]
        hold(name in tests, f"{name}: no test in rules.test.yaml")
        hold(alert["labels"]["severity"] in ("critical", "warning", "info"), f"{name}: severity")
        hold({"summary", "description", "runbook_url"} <= alert["annotations"].keys(), f"{name}: annotations")
        page = alert["annotations"]["runbook_url"].partition("/blob/main/")[2]
        hold((REPO / page).is_file() and pathlib.Path(page).stem == name, f"{name}: no page {page}")
        # Without `for` one scrape is enough: only what counts over a while may do that.
        hold("for" in alert or "increase(" in alert["expr"], f"{name}: no `for`")
    for page in (DEPLOY / "runbooks/alerts").glob("*.md"):
        hold(page.stem in names, f"{page.name}: no such alert")
        for part in ("## What it means", "## How to see", "## What to do", "## Who is hurt"):
            hold(part in page.read_text(), f"{page.name}: no part {part!r}")


def look_at_links():
    for page in [*DEPLOY.rglob("*.md"), REPO / "collector/README.md"]:
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in link:
                hold((page.parent / link).exists(), f"{page.relative_to(REPO)}: no {link}")


def look_at_compose(path):
    services = yaml.safe_load(path.read_text())["services"]
    for name, service in services.items():
        where = f"{path.name}: {name}"
        image = service.get("image")
        if image:
            hold(re.search(r":[\w.-]*\d[\w.-]*$", image), f"{where}: image {image} is not one version")
        for port in service.get("ports", []):
            hold(str(port).startswith("127.0.0.1:"), f"{where}: port {port} is open to the network")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                hold((path.parent / source).exists(), f"{where}: no {source} to mount")
        if "build" in service:
            build = service["build"]
            hold((path.parent / build["context"] / build["dockerfile"]).is_file(), f"{where}: no {build['dockerfile']}")


boards = sorted((DEPLOY / "observability/dashboards").glob("*.json"))
seen = set()
for board in boards:
    look_at_dashboard(board, seen)
collectors = sorted((REPO / "collector").glob("*.yaml"))
for collector in collectors:
    look_at_collector(collector)
look_at_rules()
look_at_links()
for compose in sorted(DEPLOY.glob("compose*.yaml")):
    look_at_compose(compose)
if problems:
    sys.exit("\n".join(problems))
print(f"files: {len(boards)} dashboards, {len(collectors)} collectors, rules with a page each, and compose files hold together")
