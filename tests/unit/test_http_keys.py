"""Keys: what is stored, what is accepted, and what files are refused."""

from hashlib import sha256

import pytest

from sandbox_runner import Config, Principal
from sandbox_runner.errors import ConfigError, InvalidRequest
from sandbox_runner.server.http import keys as module
from sandbox_runner.server.http.authentication import authenticated, bearer_of
from sandbox_runner.server.http.keys import Key, add_key, find_principal, keys_path, load_keys
from sandbox_runner.server.identity import PRINCIPAL

SECRET = "sbx_" + "s" * 43


def stored(name, secret=SECRET):
    return f"{name}:sha256:{sha256(secret.encode()).hexdigest()}"


def refusal(config):
    with pytest.raises(ConfigError) as error:
        load_keys(config, {})
    return str(error.value)


def test_a_secret_is_random_long_and_stored_as_its_hash_only(tmp_path):
    path = tmp_path / "new folder" / "keys"
    secrets = {add_key(path, "alice") for _ in range(20)}
    assert len(secrets) == 20
    assert all(len(secret) == 47 for secret in secrets)
    assert path.read_text().splitlines()[-1].startswith("alice:sha256:")
    assert all(secret not in path.read_text() for secret in secrets)
    keys = load_keys(Config(keys_file=str(path)), {})
    assert {find_principal(keys, secret.encode()) for secret in secrets} == {Principal("alice")}


def test_keys_of_the_settings_and_of_the_file_are_accepted(tmp_path):
    path = tmp_path / "keys"
    secret = add_key(path, "bob")
    keys = load_keys(Config(keys=(stored("alice"),), keys_file=str(path)), {})
    assert find_principal(keys, SECRET.encode()) == Principal("alice")
    assert find_principal(keys, secret.encode()) == Principal("bob")


def test_a_secret_is_compared_with_every_key_whichever_it_is(monkeypatch):
    compared = []

    def count(one, other):
        compared.append(one)
        return one == other

    monkeypatch.setattr(module.hmac, "compare_digest", count)
    keys = [Key(str(n), sha256(f"{n}{SECRET}".encode()).digest()) for n in range(5)]
    for secret in (f"0{SECRET}", f"4{SECRET}", "wrong", ""):
        compared.clear()
        find_principal(keys, secret.encode())
        assert len(compared) == 5


@pytest.mark.parametrize("secret", ["hunter2", "x" * 31, "x" * 513])
def test_a_secret_that_a_person_chose_or_that_is_too_long_opens_nothing(secret):
    assert find_principal([Key("alice", sha256(secret.encode()).digest())], secret.encode()) is None


def test_no_keys_accept_nothing():
    assert find_principal([], SECRET.encode()) is None


def test_a_key_shows_no_digest():
    assert "sha256" not in repr(Key("alice", b"digest"))
    assert "digest" not in repr(Key("alice", b"digest")).replace("Key(", "")


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        SECRET,
        f"alice:{SECRET}",
        "alice:sha256:abc",
        stored("a b"),
        stored("x" * 64),
        "ü:sha256:" + "0" * 64,
    ],
)
def test_a_line_that_is_no_key_is_refused_by_its_number_and_not_shown(tmp_path, line):
    path = tmp_path / "keys"
    path.write_text(f"# mine\n\n{stored('bob')}\n{line}\n", "utf-8")
    path.chmod(0o600)
    message = refusal(Config(keys_file=str(path)))
    assert f"Line 4 of {path}" in message
    assert line not in message
    with pytest.raises(ConfigError) as error:
        Config(keys=(line,))
    assert line not in str(error.value)


def test_a_file_that_others_may_write_is_refused(tmp_path):
    path = tmp_path / "keys"
    add_key(path, "alice")
    for mode in (0o620, 0o602, 0o666):
        path.chmod(mode)
        assert "chmod 600" in refusal(Config(keys_file=str(path)))
        with pytest.raises(ConfigError, match="chmod 600"):
            add_key(path, "bob")
    path.chmod(0o644)
    assert len(load_keys(Config(keys_file=str(path)), {})) == 1, "hashes of random keys may be read"


def test_one_key_for_two_names_and_a_key_for_the_local_user_are_refused():
    assert "the same key" in refusal(Config(keys=(stored("alice"), stored("bob"))))
    assert "local" in refusal(Config(keys=(stored("local"),)))
    with pytest.raises(InvalidRequest, match="not local"):
        add_key(None, "local")


def test_a_file_that_was_named_must_exist_and_the_usual_one_need_not(tmp_path):
    assert "cannot be read" in refusal(Config(keys_file=str(tmp_path / "none")))
    environ = {"HOME": str(tmp_path)}
    assert load_keys(Config(), environ) == ()
    add_key(keys_path(Config(), environ), "alice")
    assert [key.name for key in load_keys(Config(), environ)] == ["alice"]
    assert keys_path(Config(), {}) is None


def test_a_key_is_added_on_a_line_of_its_own_whatever_the_file_ends_with(tmp_path):
    path = tmp_path / "keys"
    path.write_text(stored("bob"))
    path.chmod(0o600)
    secret = add_key(path, "alice")
    keys = load_keys(Config(keys_file=str(path)), {})
    assert find_principal(keys, secret.encode()) == Principal("alice")
    assert find_principal(keys, SECRET.encode()) == Principal("bob")


@pytest.mark.anyio
async def test_a_key_goes_no_further_than_the_door():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)

    keys = [Key("alice", sha256(SECRET.encode()).digest())]
    scope = {"type": "http", "headers": [(b"authorization", f"Bearer {SECRET}".encode()), (b"host", b"x")]}
    await authenticated(app, bearer_of(keys))(scope, None, None)
    (passed,) = seen
    assert passed[PRINCIPAL] == Principal("alice")
    assert passed["headers"] == [(b"host", b"x")]
    assert SECRET not in repr(passed) + repr(passed["user"].access_token)
