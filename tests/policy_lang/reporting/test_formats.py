"""One engine for six formats, held to the structure that their readers ask for."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from policy_lang.compiler import compile_policy
from policy_lang.diagnostics import Diagnostic, Span
from policy_lang.reporting.formats import FORMATS, Findings, report

TEXT = 'policy "a" language 1\ntier small = [gpt-5-minni]\nforbid "50%: a, b"\n  when model.vison\n'


@pytest.fixture
def findings(catalog):
    found = compile_policy(TEXT, catalog, "folder with space/a.policy")
    assert len(found.diagnostics) >= 3
    return Findings(found.filename, found.text, found.diagnostics)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_tells_every_finding_and_is_silent_or_whole_without_any(form, findings):
    text = report([findings], form)
    for diagnostic in findings.diagnostics:
        assert diagnostic.code in text
    empty = report([Findings("a.policy", "", ())], form)
    assert bool(empty) == (form in ("sarif", "junit"))


def test_github_commands_escape_what_would_end_them():
    diagnostic = Diagnostic("P999", "warning", Span(0, 3, 1, 1), "50% of\nit: a, b")
    text = report([Findings("a,b:c.policy", "abc", (diagnostic,))], "github")
    where = "file=a%2Cb%3Ac.policy,line=1,col=1,endLine=1,endColumn=4"
    assert text == f"::warning title=pointsman (P999),{where}::50%25 of%0Ait: a, b\n"


def test_a_span_over_lines_ends_on_the_last_of_them():
    diagnostic = Diagnostic("P999", "error", Span(2, 9, 1, 3), "all of it")
    (region,) = regions(report([Findings("a.policy", "abcd\nefghij", (diagnostic,))], "sarif"))
    assert region == {"startLine": 1, "startColumn": 3, "endLine": 2, "endColumn": 5}


def test_sarif_has_the_structure_of_version_2_1_0(findings):
    document = json.loads(report([findings], "sarif"))
    assert document["version"] == "2.1.0"
    assert set(document) == {"$schema", "version", "runs"}
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == sorted({d.code for d in findings.diagnostics})
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert rule["help"]["text"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert isinstance(result["message"]["text"], str)
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert physical["artifactLocation"] == {"uri": "folder%20with%20space/a.policy"}
        assert all(number >= 1 for number in physical["region"].values())
        for fix in result.get("fixes", []):
            for change in fix["artifactChanges"]:
                assert change["artifactLocation"] == physical["artifactLocation"]
                assert all({"deletedRegion", "insertedContent"} == set(r) for r in change["replacements"])
    assert any("fixes" in result for result in run["results"])


def test_junit_counts_errors_as_failures_and_holds_no_character_that_xml_refuses(findings):
    warned = Diagnostic("P998", "warning", Span(0, 1, 1, 1), "a \x00 & <b>")
    text = report([findings, Findings("b.policy", "\x01\ud800x", (warned,)), Findings("c.policy", "", ())], "junit")
    root = ElementTree.fromstring(text.encode())
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["folder with space/a.policy", "b.policy", "c.policy"]
    for suite in (root, *suites):
        assert int(suite.get("tests")) == len(suite.findall(".//testcase"))
        assert int(suite.get("failures")) == len(suite.findall(".//failure"))
    assert [len(suite.findall(".//failure")) for suite in suites] == [len(findings.diagnostics), 0, 0]
    assert suites[1].find(".//system-out").text.startswith("warning P998: a \ufffd & <b>")


def regions(text):
    results = json.loads(text)["runs"][0]["results"]
    return [result["locations"][0]["physicalLocation"]["region"] for result in results]
