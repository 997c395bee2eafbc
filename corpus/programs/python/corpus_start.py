"""What every program in Python begins with: arguments, parameters, and its pace."""

import argparse
import json
import os
import random
import sys
import time


class Setup:
    """Draws parameters from the seed, and says them at the start."""

    def __init__(self, leaks):
        parser = argparse.ArgumentParser()
        parser.add_argument("--length-s", type=float, default=60.0)
        parser.add_argument("--seed", type=int, default=1)
        arguments = parser.parse_args()
        self.leaks, self.seed, self.length_s = leaks, arguments.seed, arguments.length_s
        self.random = random.Random(self.seed)
        self.parameters = {}
        self.begun = self.due = time.monotonic()

    def uniform(self, name, low, high):
        self.parameters[name] = value = self.random.uniform(low, high)
        return value

    def log_uniform(self, name, low, high):
        self.parameters[name] = value = low * (high / low) ** self.random.random()
        return value

    def part_of_length(self, name, low, high):
        return self.uniform(name, low * self.length_s, high * self.length_s)

    def announce(self):
        name = os.path.basename(sys.argv[0]).removesuffix(".py")
        parameters = {name: round(value, 3) for name, value in self.parameters.items()}
        line = {"program": name, "leaks": self.leaks, "seed": self.seed}
        print(json.dumps(line | {"length_s": self.length_s, "parameters": parameters}), flush=True)
        self.begun = self.due = time.monotonic()

    def wait(self, turns_per_s):
        """Sleeps until the next of so many turns a second; what was missed for long is left out."""
        now = time.monotonic()
        # Without `max`: its arguments come from Python's list of free tuples, and would be taken for the program's own.
        self.due += 1 / turns_per_s
        if self.due < now - 0.5:
            self.due = now - 0.5
        if self.due - now > 0.004:
            time.sleep(self.due - now)
