"""Servers of different SDKs as one: what a client does with each, it does with the view of all, and sees the same."""

import hashlib
import json
import tempfile
import threading
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass

from compare import compare, output
from matrix import CLIENTS, HANDSHAKE, SERVERS, STATELESS, settle_gone
from services import HERE, KEY, POLICY, PRINCIPALS, START_TIMEOUT, Failure, free_port, wait_for_port



@dataclass(frozen=True)
class View:
    # By the version that a client speaks: the servers that speak it, too, in the order in which it uses them. What
    # `everything` says on its own time cannot be told from what others say, so that one is used in a session of its own.
    sessions: dict
    members: tuple
    each: tuple  # those that are asked in each caller's name
    unshown: frozenset


VIEWS = {
    "view": View(
        {
            STATELESS: [["demo", "typescript-v2", "records"]],
            HANDSHAKE: [["demo", "fastmcp-3", "typescript-v2", "records"], ["everything"]],
        },
        members=("demo", "everything", "fastmcp-3", "typescript-v2", "records"),
        each=(),
        # What it has for clients only that it may ask something: the gate, which asks for all of them, is not one.
        unshown=frozenset((
            "everything_get-roots-list",
            "everything_trigger-elicitation-request",
            "everything_trigger-sampling-request",
            "everything_trigger-url-elicitation",
        )),
    ),
    "view of each": View(
        {STATELESS: [["typescript-v2-only"]], HANDSHAKE: [["everything"]]},
        members=("everything", "typescript-v2-only"),
        each=("everything", "typescript-v2-only"),
        unshown=frozenset(),
    ),
}
CLIENTS_MET = ("python 1", "python 2 auto", "fastmcp 3", "fastmcp 4 auto", "typescript v1", "typescript v2-auto")
# What some clients do beside that: calls that run as tasks, and that ask something before they end.
TASKS = {
    ("everything", "typescript v1"): [
        ["task", {"name": "simulate-research-query", "arguments": {"topic": "gates", "ambiguous": True}}],
    ],
}
NAMED = {"tools/list": "tools/call", "prompts/list": "prompts/get"}
LISTS = (*NAMED, "resources/list", "resources/templates/list")


def battery(name):
    return json.loads((HERE / f"batteries/{SERVERS[name].battery if name in SERVERS else name}.json").read_text())


def steps_of(name, client):
    return battery(name)["steps"] + TASKS.get((name, client), [])


def transcript(services, client, steps, background, address):
    """What the client sees in one session; every server is given the same answers."""
    answers = battery("everything")["answers"]
    how = CLIENTS[client]
    with tempfile.NamedTemporaryFile("w", dir=services.scratch, suffix=".json") as file:
        json.dump({"answers": answers, "background": background, "steps": steps}, file)
        file.flush()
        command = [services.runtimes[how.runtime], HERE / "clients" / how.program, address, file.name]
        return output([*command, *filter(None, [how.mode])], NODE_MODULES=str(services.modules))


def in_view(name, step):
    """The step as it is taken on the view, where tools and prompts have the server's name before their own."""
    method, *params = json.loads(json.dumps(step))
    for named in (each.get("ref", each) for each in params if isinstance(each, dict)):
        if "name" in named:
            named["name"] = f"{name}_{named['name']}"
    return [method, *params]


def as_own(name, seen):
    """What was seen on the view, without the name of the server where the gate writes one."""
    text = json.dumps(seen)
    for before in (f'"{name}_', f'"{name}: ', f'"{name}/'):
        text = text.replace(before, '"')
    return json.loads(text)


def listed(steps, method):
    """What a list has, by name, whatever the SDK makes of it."""
    results = [step["result"] for step in steps if step["step"][0] == method and "result" in step]
    if not results:
        return {}
    whole = results[0] if isinstance(results[0], list) else next(it for it in results[0].values() if isinstance(it, list))
    return {thing.get("uri") or thing.get("uriTemplate") or thing["name"]: thing for thing in whole}


def shown(view, directs, method):
    """What the view is to list: all that its servers do, under its names; of one place in two servers, neither."""
    owned = [(name, *thing) for name, steps in directs.items() for thing in listed(steps, method).items()]
    if method in NAMED:
        return {f"{name}_{own}": thing for name, own, thing in owned if f"{name}_{own}" not in view.unshown}
    places = [place for _, place, _ in owned]
    return {place: thing for _, place, thing in owned if places.count(place) == 1}


def check_lists(view, directs, gated):
    for method in LISTS:
        things = listed(gated, method)
        if method in NAMED:
            things = {name: as_own(name.partition("_")[0], thing) for name, thing in things.items()}
        compare({method: shown(view, directs, method)}, {method: things})


def is_shown(view, directs, name, step):
    """Whether the view has what the step is about."""
    method, params = step
    for listing, use in NAMED.items():
        if method == use:
            return f"{name}_{params['name']}" in shown(view, directs, listing)
    if method == "resources/read":
        shared = sum(params["uri"] in listed(steps, "resources/list") for steps in directs.values()) > 1
        return not shared and not params["uri"].endswith("nowhere")
    return True


def check_steps(view, directs, name, gated, settle):
    """What the server answers arrives as it is, and what no list has is refused."""
    ours, theirs = [], []
    for seen, own in zip(gated, directs[name], strict=True):
        if own["step"][0] in LISTS:
            continue
        if is_shown(view, directs, name, own["step"]):
            ours.append({**as_own(name, seen), "step": own["step"]})
            theirs.append(own)
        elif "error" not in seen and "exception" not in seen:
            raise Failure(f"{name}: this should be refused, but: {seen}")
    settle(ours, theirs)
    compare({name: theirs}, {name: ours})


def check(services, view, upstreams, gate, client):
    """Every answer through the view is the server's own."""
    version = CLIENTS[client].speaks[0]
    directs, gated, sent = {}, {}, {}
    for session in view.sessions[version]:
        background = battery(session[0])["background"]
        for name in session:
            seen = transcript(services, client, steps_of(name, client), background, upstreams[name])
            directs[name], sent[name] = seen["steps"], seen["wire"]
        steps = [in_view(name, step) for name in session for step in steps_of(name, client)]
        seen = transcript(services, client, steps, background, gate)
        if seen["server"].get("protocol") != version or seen["broken"]:
            raise Failure(f"through the view: {seen['server']} {seen['broken']}")
        rest = iter(seen["steps"])
        gated |= {name: [next(rest) for _ in directs[name]] for name in session}
    check_lists(view, directs, [step for steps in gated.values() for step in steps])
    for name, steps in gated.items():
        def settle(ours, theirs, wire=sent[name]):
            if version == STATELESS:
                settle_gone({"steps": theirs, "wire": wire}, {"steps": ours})

        check_steps(view, directs, name, steps, settle)


def start_demo(services):
    port = free_port()
    demo = HERE.parents[1] / "target/debug/tollgate-demo"
    wait_for_port(services.start([demo, "serve", "--memory", "--address", f"127.0.0.1:{port}"]), port)
    return f"http://127.0.0.1:{port}/mcp"


@contextmanager
def before_all(services, view, upstreams):
    """A gate before all of them, once it knows what each one has; gives the address of the view."""
    policies = {f"{name}.yaml": POLICY.format(name=name, tools="*") for name in view.members}
    policies["principals.yaml"] = PRINCIPALS.format(digest=hashlib.sha256(KEY.encode()).hexdigest())
    all_of_it = '{ tools: ["*"], prompts: ["*"], resources: ["*"] }'
    members = "".join(f"      {name}: {all_of_it}\n" for name in view.members)
    policies["views.yaml"] = f"views:\n  all:\n    default: true\n    servers:\n{members}"
    admin = f"127.0.0.1:{free_port()}"
    said = {name: ", catalogue: { per: caller }" for name in view.each}
    places = "".join(f"  {name}: {{ url: {upstreams[name]}{said.get(name, '')} }}\n" for name in view.members)
    settings = f"admin: {{ address: {admin} }}\nservers:\n{places}"
    with services.gate(None, None, settings=settings, policies=policies, OTEL_TRACES_EXPORTER="none") as gate:
        wait_until_known(f"http://{admin}/metrics", len(view.members) - len(view.each))
        yield urllib.parse.urljoin(gate.address, "/mcp")


def wait_until_known(metrics, servers):
    pause = threading.Event()
    for _ in range(START_TIMEOUT * 20):
        with urllib.request.urlopen(metrics) as answer:
            if answer.read().count(b"\ntollgate_catalogue_age_seconds{") == servers:
                return
        pause.wait(0.05)
    raise Failure("the gate never knew what all servers have")


def check_all(services, report):
    checks = {name: {f"{name} · {client}": client for client in CLIENTS_MET} for name in VIEWS}
    wanted = {name: of for name, of in checks.items() if any(map(report.wants, of))}
    if not wanted:
        return
    upstreams = {"demo": start_demo(services)}
    for name in set().union(*(VIEWS[name].members for name in wanted)) - upstreams.keys():
        server = SERVERS[name]
        upstreams[name] = services.server(server.runtime, server.program, *server.arguments)
    for name, of in wanted.items():
        with before_all(services, VIEWS[name], upstreams) as gate:
            for check_name, client in of.items():
                report.check(check_name, check, services, VIEWS[name], upstreams, gate, client)
