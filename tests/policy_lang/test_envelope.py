import json
import os

import pytest

from policy_lang.envelope import EnvelopeError, build_envelope, cluster_id, envelope_from_wire, envelope_to_wire
from policy_lang.vocabulary import bucket_for, bucket_rank, bucket_upper

CALLS = [
    {"task_type": "other"},
    {"task_type": "label", "estimated_tokens": 300},
    {"task_type": "code-edit", "structure_type": "code", "context_tokens": 9_000, "tools_used": 3},
    {"task_type": "plan", "structure_type": "mixed", "tools_used": 128, "time_sensitive": True},
    {"task_type": "synthesis", "structure_type": "list", "context_tokens": 1_000_000, "estimated_tokens": 5},
    {"task_type": "extract_2", "structure_type": "json", "context_tokens": 1_999, "estimated_tokens": 2_000},
]


def test_clusters_keep_their_golden_ids(conformance):
    vectors = []
    for call in CALLS:
        envelope = build_envelope(**call)
        vectors.append({"call": call, "envelope": envelope_to_wire(envelope), "cluster": cluster_id(envelope)})
    path = conformance / "clusters.json"
    if os.environ.get("POINTSMAN_REGENERATE"):
        path.write_text(json.dumps(vectors, indent=1) + "\n")
    assert json.loads(path.read_text()) == vectors


def test_an_envelope_survives_the_wire():
    for call in CALLS:
        envelope = build_envelope(**call)
        assert envelope_from_wire(json.loads(json.dumps(envelope_to_wire(envelope)))) == envelope


@pytest.mark.parametrize(
    ("field", "size", "name"),
    [
        ("context", 0, "short"),
        ("context", 1_999, "short"),
        ("context", 2_000, "medium"),
        ("context", 1_000_000, "extended"),
        ("tokens", 499, "tiny"),
        ("tokens", 500, "small"),
        ("tools", 0, "0"),
        ("tools", 4, "2-4"),
        ("tools", 20, "20+"),
    ],
)
def test_sizes_fall_into_their_buckets(field, size, name):
    assert bucket_for(field, size) == name
    assert size <= bucket_upper(field, name)
    assert bucket_rank(field, name) >= 0


def test_a_context_larger_than_the_estimate_raises_the_estimate():
    assert build_envelope(task_type="plan", context_tokens=9_000, estimated_tokens=10).estimated_tokens == "large"


GOOD = envelope_to_wire(build_envelope(task_type="plan"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task_type": "Plan"}, "task_type"),
        ({"task_type": None}, "task_type"),
        ({"task_type": "a" * 49}, "task_type"),
        ({"task_type": "plan\n"}, "task_type"),
        ({"structure_type": "yaml"}, "must be one of code, json, list, mixed, prose"),
        ({"structure_type": ["code"]}, "structure_type"),
        ({"context_length": 5}, "context_length"),
        ({"tools_used": "3"}, "tools_used"),
        ({"estimated_tokens": "extended"}, "estimated_tokens"),
        ({"time_sensitive": 1}, "true or false"),
        ({"prompt": "hello"}, "unknown field `prompt`"),
    ],
)
def test_what_is_outside_the_vocabulary_is_refused(change, message):
    with pytest.raises(EnvelopeError, match=message):
        envelope_from_wire({**GOOD, **change})


@pytest.mark.parametrize("missing", GOOD)
def test_every_field_is_needed(missing):
    with pytest.raises(EnvelopeError, match=missing):
        envelope_from_wire({name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize("sizes", [{"context_tokens": -1}, {"tools_used": 129}, {"estimated_tokens": 1_000_001}])
def test_sizes_outside_the_bounds_are_refused(sizes):
    with pytest.raises(EnvelopeError, match="must be between 0 and"):
        build_envelope(task_type="plan", **sizes)


@pytest.mark.parametrize("sizes", [{"context_tokens": "12"}, {"tools_used": None}, {"estimated_tokens": [1]}])
def test_sizes_that_are_no_numbers_are_refused_by_name(sizes):
    with pytest.raises(
        EnvelopeError, match="`context_tokens`, `tools_used` and `estimated_tokens` must be whole numbers"
    ):
        build_envelope(task_type="plan", **sizes)
