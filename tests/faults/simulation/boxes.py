"""Queues of the scheduler's own: it decides what is delivered when, and how often."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass
class Message:
    id: str
    body: str
    due: int
    failures: int = 0
    poison: bool = False


@dataclass
class Box:
    """A standard queue: a message stays until it has been worked off as often as the case has it delivered."""

    name: str
    chance: random.Random
    copies: int = 1
    shuffled: bool = False
    messages: list[Message] = field(default_factory=list)
    put_in: int = 0
    delivered: int = 0
    repeated: int = 0

    def put(self, body: str, *, poison: bool = False) -> str:
        self.put_in += 1
        message = Message(f"{self.name}-{self.put_in}", body, self.chance.randint(1, self.copies), poison=poison)
        self.messages.append(message)
        return message.id

    def drawn(self, most: int) -> list[Message]:
        if self.shuffled:
            return self.chance.sample(self.messages, min(most, len(self.messages)))
        return self.messages[:most]

    def settle(self, batch: list[Message], failed: set[str], most_receives: int) -> list[Message]:
        """Those that were given up."""
        given_up = []
        for message in batch:
            self.delivered += 1
            if message.id in failed:
                message.failures += 1
                if message.failures >= most_receives:
                    given_up.append(message)
            else:
                message.due -= 1
                self.repeated += message.due > 0
        gone = {message.id for message in given_up}
        self.messages = [each for each in self.messages if each.due > 0 and each.id not in gone]
        return given_up
