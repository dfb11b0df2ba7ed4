"""What the ledger should do, written down once more as plainly as possible: one tenant's credit as a list of coins.

A coin is an amount with an expiry (None: never) that is free, or held by a job. It knows nothing of balances, columns or
statements, and is compared with them after every step.
"""

from dataclasses import dataclass, field


@dataclass
class Coin:
    """Some credit of one origin. `lot`: the grant that expires, None for credit that never does."""

    amount: int
    lot: int | None = None
    job: int | None = None


@dataclass
class Model:
    """One tenant. `debt`: holds and charges that no coin covers, which is the overdraft in use."""

    coins: list[Coin] = field(default_factory=list)
    expiry: dict[int, int] = field(default_factory=dict)
    expired: set[int] = field(default_factory=set)
    holds: dict[int, int] = field(default_factory=dict)
    granted: int = 0
    posted: int = 0
    overdraft: int = 0

    @property
    def held(self) -> int:
        return sum(self.holds.values())

    @property
    def available(self) -> int:
        return self.granted - self.posted - self.held

    @property
    def expiring(self) -> int:
        return sum(coin.amount for coin in self.free() if coin.lot is not None)

    def free(self) -> list[Coin]:
        return [coin for coin in self.coins if coin.job is None]

    def order(self, coin: Coin) -> tuple[float, int]:
        """What is spent first: soonest to expire, then by lot; what never expires comes last."""
        return (float("inf"), 0) if coin.lot is None else (self.expiry[coin.lot], coin.lot)

    def grant(self, amount: int, *, lot: int | None = None, expires_at: int = 0) -> None:
        kept = max(0, amount - max(0, -self.available))
        self.granted += amount
        if lot is not None:
            self.expiry[lot] = expires_at
        self.coins.append(Coin(kept, lot))

    def adjust(self, amount: int) -> bool:
        if self.available + self.overdraft + amount < 0:
            return False
        if amount > 0:
            self.grant(amount)
            return True
        left = -amount
        for coin in sorted(self.free(), key=self.order, reverse=True):  # never expiring first, then the last to expire
            taken = min(coin.amount, left)
            coin.amount -= taken
            left -= taken
        self.granted += amount
        return True

    def hold(self, job: int, amount: int) -> bool:
        if amount > self.available + self.overdraft:
            return False
        left = amount
        for coin in sorted(self.free(), key=self.order):
            taken = min(coin.amount, left)
            if taken:
                coin.amount -= taken
                self.coins.append(Coin(taken, coin.lot, job))
                left -= taken
        self.holds[job] = amount
        return True

    def resolve(self, job: int, charged: int) -> None:
        amount = self.holds[job]
        mine = sorted((coin for coin in self.coins if coin.job == job), key=self.order)
        for coin in mine:
            self.coins.remove(coin)
        lots = [coin for coin in mine if coin.lot is not None]
        never = amount - sum(coin.amount for coin in lots)  # with what no coin covered
        back = amount - charged
        available = self.available
        del self.holds[job]
        self.posted += charged
        parts = [Coin(min(back, never))]
        back -= parts[0].amount
        for coin in reversed(lots):
            parts.append(Coin(min(coin.amount, back), coin.lot))
            back -= parts[-1].amount
        for part in parts:
            kept = max(0, part.amount - max(0, -available))
            available += part.amount
            if part.lot in self.expired:
                self.granted -= kept
                available -= kept
            elif kept:
                self.coins.append(Coin(kept, part.lot))

    def expire(self, now: int) -> None:
        for lot, at in self.expiry.items():
            if at <= now and lot not in self.expired:
                self.expired.add(lot)
                gone = [coin for coin in self.free() if coin.lot == lot]
                self.granted -= sum(coin.amount for coin in gone)
                self.coins = [coin for coin in self.coins if coin not in gone or coin.job is not None]
