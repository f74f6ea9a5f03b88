"""The commands that show who may what: also, and just then, while a proof does not hold."""

import pytest

APP = """
undeclared: refuse
auth:
  people: {ann: {roles: [editor]}, eve: {roles: []}}
  proofs: [{who: eve, can: publish, path: /board}]
signals:
  - {path: /board, rebroadcast: path, from_elsewhere: false, may: {publish: "{{ 'editor' in claims.roles }}"}}
routes:
  - {path: /say, method: POST, may: users, do: [{respond: {text: "{{ user }}"}}]}
"""
HI = '{"message": "hi"}'


@pytest.fixture(autouse=True)
def app(write):
    write(APP)


def lines(output):
    return [" ".join(line.split()) for line in output.splitlines()]


def test_check_says_that_the_proof_does_not_hold(signalpost):
    assert "auth.proofs[0].can: eve cannot publish on /board: may.publish (routes.yaml:" in signalpost("check").output


def test_explain_shows_what_somebody_may_and_which_line_decides(signalpost):
    shown = lines(signalpost("explain", "/board", "--as", "eve").output)
    assert "may connect yes: may.connect is users, the default of a file with auth" in shown
    assert any(line.startswith("may publish no: may.publish (routes.yaml:") for line in shown)
    shown = lines(signalpost("explain", "/say", "--as", "guest").output)
    assert any(line.startswith("may request no: may (routes.yaml:") for line in shown)


def test_explain_shows_who_may_where_nobody_is_named(signalpost):
    shown = lines(signalpost("explain", "/board").output)
    assert "may connect users (the default of a file with auth)" in shown
    assert any(line.startswith("may publish {{ 'editor' in claims.roles }} (routes.yaml:") for line in shown)


def test_try_shows_a_message_of_somebody_and_what_is_judged_of_it(signalpost):
    shown = lines(signalpost("try", "/board", HI, "--as", "ann").output)
    assert "as ann" in shown
    assert any(line.startswith("publish yes: may.publish") for line in shown)
    shown = lines(signalpost("try", "/board", HI, "--as", "eve").output)
    assert any(line.startswith("publish no: may.publish") for line in shown)
    assert "decide refused: forbidden: you may not publish here" in shown


def test_try_without_a_name_is_a_guest_and_says_who_else_there_is(signalpost):
    shown = lines(signalpost("try", "/board", HI).output)
    assert "as guest, who has shown no identity" in shown
    assert any(line.startswith("connect refused with 401 (4401 to clients of signalpost.v1)") for line in shown)
    assert "--as asks as somebody else: ann, eve" in shown


def test_try_asks_a_route_as_somebody(signalpost):
    answered = lines(signalpost("try", "/say", "--method", "POST", "--as", "ann").output)
    assert any("ann" in line and line.startswith("answer 200") for line in answered)
    refused = lines(signalpost("try", "/say", "--method", "POST").output)
    assert any(line.startswith("may refused with 401: may (routes.yaml:") for line in refused)


def test_the_matrix_has_a_column_for_everybody(signalpost):
    shown = lines(signalpost("routes", "--may").output)
    assert "what path guest ann eve" in shown
    assert "connect /board no yes yes" in shown
    assert "publish /board no yes no" in shown
    assert "POST /say no yes yes" in shown


def test_the_matrix_says_why_something_is_not_proved(signalpost, write):
    write("undeclared: refuse\nauth: {}\nsignals: [{path: /x, may: {connect: '{{ state.open }}'}}]")
    output = signalpost("routes", "--may").output
    assert "?  guest: connect /x: may.connect (routes.yaml:" in output
    assert "asks for state, which only a running server knows" in output
    assert "imagine people in auth" in output


def test_nobody_is_named_so(signalpost):
    refused = signalpost("explain", "/board", "--as", "eva")
    assert refused.exit_code == 1
    assert 'no person named "eva"; did you mean "eve"? (known: guest, ann, eve)' in str(refused.output + refused.stderr)


def test_a_plan_says_what_it_grants_and_takes(signalpost, folder, write):
    write(APP.replace("can: publish", "cannot: publish"))
    (folder / "before.yaml").write_text((folder / "routes.yaml").read_text())
    write(
        APP.replace("  proofs: [{who: eve, can: publish, path: /board}]\n", "").replace(
            "may: {publish:", "may: {target:"
        )
    )
    shown = lines(signalpost("plan", "--against", "before.yaml").output)
    assert "+ permission eve may publish on /board" in shown
    assert not any("ann may publish on /board" in line for line in shown)
