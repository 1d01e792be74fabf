"""`pointsman fmt`: in place, as a check, as a diff, as a filter."""

UNTIDY = """policy "a/b" language 1 # name
tier t=[gpt-5.4-mini]
default route r{use t pick cheapest}fallback gpt-5.4-mini"""
TIDY = """policy "a/b" language 1  # name
tier t = [gpt-5.4-mini]
default route r {
  use  t
  pick cheapest
}
fallback gpt-5.4-mini
"""


def test_a_file_is_laid_out_in_place_once(run, write):
    path = write(UNTIDY)
    assert run("fmt", path).exit_code == 0
    assert path.read_text() == TIDY
    assert "1 as they should be" in run("fmt", path).output


def test_check_and_diff_write_nothing_and_exit_with_1(run, write):
    path = write(UNTIDY)
    checked, compared = run("fmt", "--check", path), run("fmt", "--diff", path)
    assert (checked.exit_code, compared.exit_code) == (1, 1)
    assert f"would change {path}" in checked.output
    assert "+tier t = [gpt-5.4-mini]" in compared.output
    assert path.read_text() == UNTIDY
    assert run("fmt", "--check", write(TIDY)).exit_code == 0


def test_standard_input_goes_to_standard_output(run):
    assert run("fmt", "-", input=UNTIDY).stdout == TIDY


def test_what_cannot_be_read_is_left_as_it_is(run, write):
    path = write("tier t = [")
    done = run("fmt", path)
    assert done.exit_code == 1
    assert "P101" in done.output
    assert path.read_text() == "tier t = ["


def test_line_ends_of_the_file_are_kept(run, write):
    path = write(UNTIDY.replace("\n", "\r\n"))
    run("fmt", path)
    assert path.read_bytes() == TIDY.replace("\n", "\r\n").encode()


def test_a_file_without_a_policy_is_told_as_check_tells_it(run, write):
    for text in ("", "\n \n"):
        path = write(text)
        laid, checked = run("fmt", path), run("check", path)
        assert (laid.exit_code, checked.exit_code) == (1, 1)
        assert "error P201: the header is missing" in laid.stderr
        assert path.read_text() == text
