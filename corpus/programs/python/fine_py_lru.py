"""A cache that throws away what was not used for longest."""

from collections import OrderedDict

from corpus_start import Setup


class Lru:
    def __init__(self, capacity):
        self.capacity = capacity
        self.entries = OrderedDict()

    def get(self, key, length):
        if key in self.entries:
            self.entries.move_to_end(key)
            return self.entries[key]
        value = {"key": key, "rows": [f"{key}/{row}" for row in range(length)]}
        self.entries[key] = value
        if len(self.entries) > self.capacity:
            self.entries.popitem(last=False)
        return value


def main():
    setup = Setup(leaks=False)
    capacity = int(setup.log_uniform("capacity", 100, 1500))
    length = int(setup.log_uniform("rows", 2, 60))
    full_s = setup.part_of_length("full_after_s", 0.05, 0.25)
    setup.announce()
    lru = Lru(capacity)
    while True:
        setup.wait(capacity / full_s * 1.3)
        lru.get(setup.random.randrange(capacity * 2), length)


main()
