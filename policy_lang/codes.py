"""One page for each diagnostic code, as `pointsman explain CODE` shows it."""

from __future__ import annotations

__all__ = ["PAGES"]

_TEXT = """
P001 the file is not UTF-8
Policies are UTF-8 text. Save the file in that encoding; a byte order mark is allowed.

P002 a forbidden character
Control characters, NUL and marks that reorder text on screen are refused everywhere, comments included, so that a
reviewer sees what the compiler reads.

P003 the source is too large
A policy has at most 64 KiB. The limit belongs to the language version.

P004 a sign or letter that means nothing here
Names are ASCII, texts stand in double quotes, comments start with `#`, conditions are joined by `and`, `or`, `not`.

P005 a text is not closed
A quoted text begins and ends with `"` on one line.

P006 nested too deep
Brackets and `not` nest at most 64 deep. Split the condition over several gates or routes.

P101 something else was expected
The grammar accepts what the message lists at this place. After an error reading resumes at the next statement or
clause.

P102 a keyword in capitals
Keywords are lower case. A name that reads like one must be quoted.

P103 a reserved word as a name
Keywords, and the words later versions of the language will need, cannot name a tier, a task or a route.

P201 the header is missing
A file begins with `policy "team/name" language 1`.

P202 the header stands elsewhere or twice
A file holds one policy and its header is the first statement.

P203 unknown language version
This compiler reads `language 1`.

P204 no default route
`default route NAME { ... }` takes every call that no other route took, so that none is left without an answer.

P205 a statement stands twice
`tasks`, `default route`, `fallback` and `baseline` stand once in a file.

P206 no fallback
`fallback` lists the models to serve when a route has no candidate left or its choice fails.

P207 a name cannot be written so
Tasks, tiers and routes: lower-case letters, digits, `-`, `_`, at most 48. Policies: such parts joined by `/`, at most
96. Reasons of gates: 1 to 200 printable characters.

P208 declared or listed twice
Tasks, tiers, routes and the reasons of gates are unique, and so are the members of a list.

P209 an empty list
A tier, `prefer` and `in` need at least one member.

P210 too many
A policy holds at most 200 gates, 200 routes, 64 tiers of 64 models, 199 tasks and 8 terms in a `pick`.

P211 a clause is missing
Every route has `use` and `pick`.

P212 a clause stands twice
Each clause stands once in a route; `floor` once per metric, and `explore` has one limit of each sort.

P213 the compiled policy is too large
The IR has at most 4,096 nodes and 64 levels. Split the policy or its conditions.

P301 unknown field
The fields are listed in LANGUAGE.md under Conditions.

P302 a model field in a route's condition
A route is chosen before there is a candidate. Filter models with `where` inside the route, or with a gate.

P303 unknown value
The field has a closed list of values. Tasks are those the policy declares, or the standard ones.

P304 an operator this field lacks
Names compare by `==`, `!=` and `in`; size classes and numbers also by `<`, `<=`, `>`, `>=`; two numeric fields by the
last four only; a floor is always `>=`.

P305 the wrong kind of value or unit
Prices are written `$15/Mtok`, sizes `4096` or `4096 tokens`, shares `95%` or `0.95`, money `$2/day` or
`$0.01/success`.

P306 a flag compared, or a field that is no flag standing alone
A flag is its own condition: write `model.vision` or `not model.vision`.

P307 unknown tier
`use` names tiers the file declares.

P308 unknown model
Models are arms of the catalog (`provider/model`) or aliases of the catalog.

P401 a number out of range
The message states the range.

P402 a number finer or longer than can be kept
Shares keep four decimals of a percent, prices whole pico-dollars per token, money whole nano-dollars. Nothing is
rounded silently.

P403 a tie without a width
Two measured figures are never equal, so a term before `then` needs `within N%`.

P404 a width without use
`within` parts ties for the next term; the last term has none to part, and `prefer` goes by place.

P405 unknown metric
Floors are on `success` or `quality`; `fastest` goes by `ttft_p95` or `latency_p95`; `best` by `quality` or `value`.

P406 `until proven serve` without a floor to prove
Write `floor success >= 95% proven 90%`, or leave `until` out.

P407 `explore` without a rate
The first limit is a share of decisions, as in `explore at most 5%, $2/day`.

P408 what a success is worth
`best value` needs `at $V/success`; no other term takes it.

P501 no fallback survives
In the shape of call that the message shows, the gates remove every fallback. Add a fallback that passes, or narrow a
gate. A field marked unknown is missing from the model's row in the catalog, and a gate that cannot be evaluated
fails.

P502 not proved
The proof that a fallback survives would take more work than the compiler spends. Use fewer or simpler gates.

P601 a tier nobody uses
No route names it in `use`.

P602 a rate while unproven, and nothing to prove
The second rate of `explore` holds while no arm has proven a floor; this route has no floor with `proven`.

P603 a provider without models
No model of the catalog has this provider, so the comparison never holds for any of them.
"""

#: Code -> its page, the first line the title.
PAGES: dict[str, str] = {page[:4]: page + "\n" for page in _TEXT.strip().split("\n\n")}
