import pytest

from policy_cli.dev import TemplateError
from policy_cli.dev.template import TEMPLATE, read_template


def test_a_template_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(TemplateError, match="run from a checkout"):
        read_template(tmp_path / "template.yaml")


def test_a_schedule_that_cannot_be_imitated_is_refused(tmp_path):
    changed = tmp_path / "template.yaml"
    changed.write_text(TEMPLATE.read_text().replace("rate(1 minute)", "cron(0 * * * ? *)"))
    with pytest.raises(TemplateError, match=r"rate\(N minutes\)"):
        read_template(changed)
