"""What an invocation says of itself."""

import json

import pytest

from functions.observability import observe


@pytest.mark.parametrize("measured", [0, 1, 98, 99, 100, 198, 250])
def test_every_value_is_emitted_once_however_many_there_are(capsys, measured):
    observe("test", "done", {"Messages": 7}, {}, milliseconds={"Latency": range(measured)})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert [value for line in lines for value in line.get("Messages", ())] == [7]
    assert [value for line in lines for value in line.get("Latency", ())] == list(range(measured))
    assert all(len(line.get("Latency", ())) <= 100 for line in lines)
