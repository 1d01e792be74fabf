"""Time and memory of compiling: ordinary policies, and the worst 64 KiB that we know of.

    python bench/language.py

CPU time of the compiler on texts in memory, warm (the grammar is built, about 0.1 s once a process): median of several
for the policies, one run for each of the worst inputs. Memory: the peak that the compilation itself allocates
(tracemalloc), in a second run.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator

from policy_lang.catalog import Catalog, default_catalog
from policy_lang.compiler import Compilation, compile_policy
from policy_lang.text.source import MAX_SOURCE_BYTES

HEAD = 'policy "bench/language" language 1\ntier small = [claude-haiku-4-5, gpt-5-mini]\ntier large = [gpt-5]\n'
TAIL = "default route general { use small, large  pick cheapest }\nfallback claude-haiku-4-5, gpt-5-mini\n"
TASKS = ("analysis", "chat", "classify", "extract", "label", "plan", "rewrite", "summarize", "translate")
LIMIT_MS, LIMIT_MB = 500, 64


def main() -> None:
    catalog = default_catalog()
    compile_policy(HEAD + TAIL, catalog)
    print(f"{'policy':<34} {'lines':>6} {'bytes':>7} {'ms':>8} {'MB':>6}  findings")
    for lines, goal in ((60, 10), (2_000, 250)):
        text = ordinary(lines)
        compiled = compile_policy(text, catalog)
        assert compiled.ok, compiled.render()
        took = statistics.median(once(text, catalog) for _ in range(9))
        row(f"{lines} lines, at most {goal} ms", text, took, catalog)
    over = []
    for name, text in worst():
        took = min(once(text, catalog), once(text, catalog))
        peak = row(name, text, took, catalog)
        if took > LIMIT_MS or peak > LIMIT_MB:
            over.append(name)
    print(f"over {LIMIT_MS} ms or {LIMIT_MB} MB: {', '.join(over) or 'none'}")
    sys.exit(bool(over))


def row(name: str, text: str, took: float, catalog: Catalog) -> float:
    """One line of the table; the peak of memory in MB."""
    tracemalloc.start()
    compiled = compile_policy(text, catalog)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    shown = first_finding(compiled)
    print(f"{name:<34} {text.count(chr(10)):>6} {len(text):>7} {took:>8.1f} {peak:>6.1f}  {shown}")
    return peak


def first_finding(compiled: Compilation) -> str:
    codes = sorted({found.code for found in compiled.diagnostics})
    return f"{len(compiled.diagnostics)}: {' '.join(codes)}" if codes else "none"


def once(text: str, catalog: Catalog) -> float:
    start = time.process_time()
    compile_policy(text, catalog).render()
    return (time.process_time() - start) * 1_000


def ordinary(lines: int) -> str:
    """A policy of so many lines with gates, routes and tests as people write them."""
    chance = random.Random(lines)
    parts = [HEAD]
    number = 0
    while sum(part.count("\n") for part in parts) < lines - TAIL.count("\n"):
        task, other = chance.sample(TASKS, 2)
        match number % 8:
            case 0:
                parts.append(f'forbid "gate {number}"\n  when task == {task}\n    and model.stage == preview\n')
            case 1:
                parts.append(f"# why {number}\n\n")
            case 2:
                parts.append(
                    f"route r{number} when task == {task} and tools >= 2-4 {{\n"
                    "  use small, large\n  floor success >= 95% proven 90%\n  pick cheapest\n"
                    "  explore at most 5%, $2/day\n}\n"
                )
            case 3:
                parts.append(
                    f'test "t{number}" {{\n  given task = {other}, tokens = small\n  expect tier != large\n}}\n'
                )
            case _:
                parts.append("\n" if number % 3 else f"# on {task} and {other}\n")
        number += 1
    rows = "".join(parts).splitlines(keepends=True)
    return "".join(rows) + TAIL


def filled(piece: Callable[[int], str], before: str = HEAD, after: str = TAIL) -> str:
    """Pieces up to the size limit."""
    room = MAX_SOURCE_BYTES - len(before) - len(after) - 8
    parts: list[str] = []
    size = number = 0
    while size + len(text := piece(number)) <= room:
        parts.append(text)
        size += len(text)
        number += 1
    return before + "".join(parts) + after


def worst() -> Iterator[tuple[str, str]]:
    """The texts that ask most of one pass or another."""
    for kind in (conditions, unknown_names, gates, many_parts, statements, clauses, random_text, characters):
        yield from kind()


def conditions() -> Iterator[tuple[str, str]]:
    yield "parentheses", filled(lambda _: "(", HEAD + 'forbid "x" when ')
    yield "not not not", filled(lambda _: "not ", HEAD + 'forbid "x" when ')
    yield (
        "one long conjunction",
        filled(lambda n: f"tools == {n % 2} and ", HEAD + 'forbid "x" when ', "time_sensitive\n" + TAIL),
    )
    yield (
        "or of ands",
        filled(lambda n: f"tokens == tiny and org == o{n} or ", HEAD + 'forbid "x" when ', "time_sensitive\n" + TAIL),
    )
    yield "one long list", filled(lambda n: f"o{n}, ", HEAD + 'forbid "x" when org in [', "z]\n" + TAIL)


def unknown_names() -> Iterator[tuple[str, str]]:
    yield "unknown models", filled(lambda n: f"claude-haikou-{n}, ", HEAD + "tier t = [", "z]\n" + TAIL)
    yield "unknown fields", filled(lambda n: f'forbid "{n}" when model.regoin{n} == eu\n')
    yield "unknown tasks", filled(lambda n: f"lable{n}, ", HEAD + 'forbid "x" when task in [', "z]\n" + TAIL)
    yield "unknown words of tests", filled(lambda n: f'test "{n}" {{given taks{n} = a expect tire == b}}\n')


def gates() -> Iterator[tuple[str, str]]:
    every = "tools > {} and tokens > tiny and context > short and structure == code and org == o{} and time_sensitive"
    yield "gates", filled(lambda n: f'forbid "{n}" when model.vision\n')
    yield (
        "gates over every dimension",
        filled(
            lambda n: (
                f'forbid "{n}" when {every.format(n % 2, n)} and task == plan and model.context < {n} * tokens.upper\n'
            )
        ),
    )
    yield (
        "200 gates over every dimension",
        filled(
            lambda n: (
                f'forbid "{n}" when {every.format(n % 2, n)} and task != plan and model.context < {n} * tokens.upper\n'
                if n < 200
                else "# more\n"
            )
        ),
    )


def many_parts() -> Iterator[tuple[str, str]]:
    """As many as a policy may have, so that every proof runs."""
    yield (
        "199 described tasks",
        filled(lambda n: f't{n} "one word w{n} of many", ' if n < 198 else " ", HEAD + "tasks ", "z\n" + TAIL),
    )
    yield (
        "200 routes and tests",
        filled(
            lambda n: (
                f"route r{n} when org == o{n} and context > short {{use small pick cheapest}}\n"
                f'test "{n}" {{given org = o{n} expect route == r{n}}}\n'
                if n < 200
                else "# more\n"
            )
        ),
    )


def statements() -> Iterator[tuple[str, str]]:
    yield "routes", filled(lambda n: f"route r{n} when org == o{n} {{use small pick cheapest}}\n")
    yield "tiers", filled(lambda n: f"tier t{n} = [gpt-5]\n")
    yield "tasks with descriptions", filled(lambda n: f't{n} "one word w{n} of many", ', HEAD + "tasks ", "z\n" + TAIL)
    yield "attributes", filled(lambda n: f"attribute a{n} = [x, y{n}]\n")
    yield "budgets", filled(lambda n: f"budget org o{n} $1/day\n")
    yield "assertions", filled(lambda n: f'assert "{n}" never model.stage == preview when org == o{n}\n')
    yield "statistics", filled(lambda n: f"gpt-5 on t{n} {n} ok\n", HEAD + 'statistics "s" {', "}\n" + TAIL)


def clauses() -> Iterator[tuple[str, str]]:
    yield (
        "settings",
        filled(
            lambda n: f"set temprature{n} {n} ",
            HEAD + "route r when time_sensitive {use small pick cheapest ",
            "}\n" + TAIL,
        ),
    )
    yield (
        "checks of a cascade",
        filled(
            lambda n: f"not schema s{n} or ",
            HEAD + "route r when time_sensitive {pick cheapest cascade small -> large escalate when ",
            "not json_valid}\n" + TAIL,
        ),
    )


def random_text() -> Iterator[tuple[str, str]]:
    chance = random.Random(1)
    vocabulary = 'policy tier route when use pick floor on set test given { } [ ] ( ) , = == a $1/Mtok 5% "x" not and'
    words = vocabulary.split()
    yield "random words", filled(lambda _: chance.choice(words) + " ")
    yield "random characters", filled(lambda _: chr(chance.randrange(32, 127)))
    yield (
        "random letters of all scripts",
        filled(lambda _: chr(chance.randrange(0x400, 0x52F)))[: MAX_SOURCE_BYTES // 2],
    )


def characters() -> Iterator[tuple[str, str]]:
    yield "open quotes", filled(lambda _: '"\n')
    yield "one quote", filled(lambda _: "x", '"', "")
    yield "one name", filled(lambda _: "x", HEAD + "tier ", "")
    yield "one number", filled(lambda _: "9", HEAD + "baseline ", "")
    yield "dashes", filled(lambda _: "-", HEAD + "baseline a", "")
    yield "a name of dashes", filled(lambda _: "a-", HEAD + "baseline ", "")
    yield "comments", filled(lambda n: f"# {n}\n")
    yield "blank", filled(lambda _: " ")
    yield "NUL", filled(lambda _: "\0")
    yield "braces", filled(lambda _: "{")
    yield "guards", filled(lambda _: "guard {\n")


if __name__ == "__main__":
    main()
