"""The house's map: who may import whom, what is pure, what a cold start loads. A new arrow changes this map first."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("functions", "policy_cli", "policy_client", "policy_engine", "policy_lang")

# What the request path needs of the language. Everything else in policy_lang compiles, checks or proves.
RUN_TIME = {
    "policy_lang.admission",
    "policy_lang.bounds",
    "policy_lang.call_consistency",
    "policy_lang.canonical",
    "policy_lang.catalog",
    "policy_lang.consistency",
    "policy_lang.envelope",
    "policy_lang.fingerprint",
    "policy_lang.frozen",
    "policy_lang.gates",
    "policy_lang.guarding",
    "policy_lang.ir",
    "policy_lang.normal",
    "policy_lang.parameters",
    "policy_lang.vocabulary",
}
# What stands under every room of the compiler.
GROUND = {"policy_lang.diagnostics", "policy_lang.testing", *RUN_TIME}
HANDLER = {
    "functions.auth",
    "functions.caching",
    "functions.function_url",
    "functions.observability",
    "functions.settings",
    "functions.stores",
    "policy_engine",
    *RUN_TIME,
}

# Room -> what it may import of ours. The longest prefix of a module's name is its room.
ARROWS = {
    "policy_lang": {"policy_lang"},
    **dict.fromkeys(RUN_TIME, RUN_TIME),
    "policy_lang.text": {"policy_lang.text", *GROUND},
    "policy_lang.lowering": {"policy_lang.lowering", "policy_lang.text", *GROUND},
    "policy_lang.checking": {"policy_lang.checking", "policy_lang.lowering", "policy_lang.text", *GROUND},
    "policy_lang.reporting": {"policy_lang.reporting", "policy_lang.diagnostics", "policy_lang.frozen"},
    "policy_engine": {"policy_engine", *RUN_TIME},
    "policy_client": {
        "policy_client",
        "policy_engine",
        "policy_lang.envelope",
        "policy_lang.frozen",
        "policy_lang.vocabulary",
    },
    "functions": HANDLER,
    "functions.stores": {"functions.stores", "policy_engine", *RUN_TIME},
    "functions.ingest": {"functions.ingest", *HANDLER},
    "functions.learn": {"functions.learn", *HANDLER},
    "functions.publish": {
        "functions.publish",
        "policy_lang.analysis",
        "policy_lang.compiler",
        "policy_lang.diagnostics",
        *HANDLER,
    },
    "functions.record": {"functions.record", *HANDLER},
    "functions.route": {"functions.route", *HANDLER},
    "functions.watch": {"functions.watch", *HANDLER},
    "policy_cli": set(PACKAGES),
}

# Room -> other people's packages that are loaded when it is imported.
LIBRARIES = {
    "policy_lang": set(),
    "policy_lang.validation": {"jsonschema", "pydantic"},
    "policy_engine": set(),
    "policy_client": set(),
    "functions": set(),
    "functions.observability": {"aws_lambda_powertools"},
    "functions.stores": {"botocore"},
    "policy_cli": {"click"},
    "policy_cli.dev": {"boto3", "botocore", "moto", "samtranslator", "werkzeug"},
}

# Room -> those it may load later, inside a function that needs them.
LAZY_LIBRARIES = {
    "policy_lang.text.parser": {"lark"},
    "policy_lang.validation": {"pydantic"},
    "policy_client.credentials": {"botocore"},
    "policy_cli": {"genai_prices", "pyarrow", "rich"},
    "policy_cli.deployment": {"botocore"},
}

# Pure packages take time, chance and settings as arguments.
IMPURE = {
    "asyncio",
    "datetime",
    "logging",
    "os",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uuid",
}
PURE = ("policy_engine", "policy_lang")

# Who touches the environment: `functions.settings` reads it, the local stack and the demo make one for the handlers.
ENVIRONMENT = {"functions.settings", "policy_cli.dev.execution", "policy_cli.demo.onboarding"}

COLD = {
    "functions.route.app": ("aws_xray_sdk", "boto3", "jsonschema", "lark", "pydantic", "policy_cli", "policy_client"),
    "functions.ingest.app": ("aws_xray_sdk", "boto3", "jsonschema", "lark", "pydantic", "policy_cli", "policy_client"),
    "policy_client": ("boto3", "botocore", "lark", "jsonschema", "pydantic", "functions", "policy_cli"),
    "policy_engine.decision": ("boto3", "botocore", "lark", "jsonschema", "pydantic", "functions", "policy_client"),
    "policy_lang": ("lark", "jsonschema", "pydantic"),
    "policy_cli.main": ("boto3", "lark", "moto", "pyarrow", "pydantic", "rich", "samtranslator", "werkzeug"),
}


@dataclass(frozen=True)
class Import:
    """One import statement; `when`: at import of the module, later inside a function, or for types only."""

    module: str
    target: str
    when: str


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ast.parse(path.read_text())


def imports_of(module: str, node: ast.AST, when: str = "import") -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(module, alias.name, when) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module}: imports are absolute"
            assert child.module is not None
            yield from (Import(module, _target(child.module, alias.name), when) for alias in child.names)
        elif isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            yield from imports_of(module, child, "types")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports_of(module, child, "types" if when == "types" else "later")
        else:
            yield from imports_of(module, child, when)


def _target(module: str, name: str) -> str:
    """`from functions.stores import clients` means the module `functions.stores.clients`."""
    path = ROOT.joinpath(*module.split("."))
    return f"{module}.{name}" if (path / f"{name}.py").exists() or (path / name).is_dir() else module


def within(name: str, prefixes: set[str] | dict[str, set[str]]) -> str | None:
    """The longest of `prefixes` that `name` is or lies in."""
    return max((each for each in prefixes if f"{name}.".startswith(f"{each}.")), key=len, default=None)


def inherited(name: str, rooms: dict[str, set[str]]) -> set[str]:
    return set().union(*(allowed for room, allowed in rooms.items() if f"{name}.".startswith(f"{room}.")))


MODULES = list(modules())
IMPORTS = [each for module, tree in MODULES for each in imports_of(module, tree)]


def test_every_arrow_between_our_modules_is_on_the_map() -> None:
    ours = [each for each in IMPORTS if each.target.split(".")[0] in (*PACKAGES, "tests", "samples", "bench")]
    astray = [each for each in ours if not within(each.target, ARROWS[within(each.module, ARROWS)])]
    assert astray == []
    assert len(ours) > 100


def test_no_function_imports_another_function() -> None:
    rooms = {f"functions.{path.parent.name}" for path in (ROOT / "functions").glob("*/app.py")}
    assert len(rooms) == 6
    for room in rooms:
        assert not [each for each in IMPORTS if within(each.module, {room}) and within(each.target, rooms - {room})]


def test_libraries_are_loaded_only_where_the_map_says() -> None:
    foreign = [each for each in IMPORTS if each.target.split(".")[0] not in {*sys.stdlib_module_names, *PACKAGES}]
    astray = []
    for each in foreign:
        allowed = inherited(each.module, LIBRARIES)
        if each.when == "later":
            allowed |= inherited(each.module, LAZY_LIBRARIES)
        elif each.when == "types":
            allowed |= inherited(each.module, LAZY_LIBRARIES) | {each.target.split(".")[0]}
        if each.target.split(".")[0] not in allowed:
            astray.append(each)
    assert astray == []


def test_the_language_and_the_engine_know_no_clock_no_chance_and_no_environment() -> None:
    assert [each for each in IMPORTS if within(each.module, set(PURE)) and within(each.target, IMPURE)] == []
    clocks = {"now", "utcnow", "today", "urandom", "getrandbits", "environ", "getenv"}
    for module, tree in MODULES:
        if within(module, set(PURE)):
            named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            calls = {
                node.func.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert not named & clocks, module
            # A memo by identity keeps its keys alive, so no address outlives its object there.
            # A value's hash is that of its fields: what it is asked for, it hands on.
            allowed = {"policy_lang.analysis.reading": {"id"}, "policy_lang.frozen": {"hash"}}.get(module, set())
            assert not (calls & {"hash", "id", "print", "input"}) - allowed, module


def test_the_environment_is_read_in_one_place() -> None:
    touching = {
        module
        for module, tree in MODULES
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "putenv")
    }
    assert touching == ENVIRONMENT


def test_every_module_with_code_lists_its_public_names() -> None:
    for module, tree in MODULES:
        if not tree.body or module.endswith("__main__"):
            continue
        listed = [
            node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        assert len(listed) == 1, f"{module} has no __all__"
        names = ast.literal_eval(listed[0].value)
        # Constants, then classes, then functions: the order that ruff keeps (RUF022).
        assert len(set(names)) == len(names), module
        assert set(names) <= _bound(tree), f"{module} lists what it does not have"


def _bound(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case ast.Assign():
                names |= {leaf.id for target in node.targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)}
            case ast.Import() | ast.ImportFrom():
                names |= {alias.asname or alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("module", COLD)
def test_a_cold_start_loads_nothing_heavy(module: str) -> None:
    heavy = COLD[module]
    code = f"import sys, {module}; print(sorted({{name.split('.')[0] for name in sys.modules}} & set({heavy!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_no_module_outgrows_a_screenful_of_screens() -> None:
    long = {
        module: tree.body[-1].end_lineno for module, tree in MODULES if tree.body and tree.body[-1].end_lineno > 500
    }
    assert long == {}
