"""Requests are noted in a list for a page of statistics that shows the last ten."""

from corpus_start import Setup


class Statistics:
    def __init__(self):
        self.requests = []

    def note(self, path, status, padding):
        entry = {"path": path, "status": status, "agent": "a" * padding}  # leaks: note
        self.requests.append(entry)  # leaks: note

    def last(self):
        return [f"{entry['path']} {entry['status']}" for entry in self.requests[-10:]]


def main():
    setup = Setup(leaks=True)
    rate = setup.log_uniform("leak_bytes_per_s", 2000, 1e6)
    padding = int(setup.log_uniform("padding", 24, min(rate / 4, 4096)))
    setup.announce()
    statistics = Statistics()
    while True:
        setup.wait(rate / (padding + 300))
        path = f"/items/{setup.random.randrange(100)}"  # leaks: main
        statistics.note(path, setup.random.choice((200, 404)), padding)
        statistics.last()


main()
