"""What is refused because of who asks, or for what: unknown keys, guesses at the operators' key, invented models."""

from tests.chaos.hostile.attack import Attack, Attacker, Line, Told


async def unknown_keys(attacker: Attacker, line: Line) -> Told:
    """A submit with a key that has the form of a key."""
    key = f"{attacker.key[:-32]}{attacker.chance.getrandbits(128):032x}"
    return await line.ask("POST", "/v2/sim-echo", b'{"echo":1}', x_api_key=key)


async def no_keys(attacker: Attacker, line: Line) -> Told:
    """A submit, or a read, with no key at all."""
    method, path = attacker.chance.choice((("POST", "/v2/sim-echo"), ("GET", "/api/v1/jobs")))
    return await line.ask(method, path, b'{"echo":1}' if method == "POST" else b"", x_api_key="")


async def admin_keys(attacker: Attacker, line: Line) -> Told:
    """A guess at the operators' key."""
    guess = f"Bearer {attacker.chance.getrandbits(128):032x}"
    return await line.ask("GET", "/admin/v1/tenants", authorization=guess, x_api_key="")


async def invented_models(attacker: Attacker, line: Line) -> Told:
    """A submit to a model that nobody knows, another one each time."""
    model = f"invented-{attacker.chance.getrandbits(64):016x}"
    if attacker.chance.random() < 0.5:
        return await line.ask("POST", f"/v2/{model}", b'{"prompt":"a"}')
    return await line.ask("POST", "/api/v1/jobs", b'{"model":"%b","input":{}}' % model.encode())


ATTACKS = (
    Attack("guesses.unknown_keys", unknown_keys, 2),
    Attack("guesses.no_keys", no_keys),
    Attack("guesses.admin_keys", admin_keys, 2),
    Attack("guesses.invented_models", invented_models, 3),
)
