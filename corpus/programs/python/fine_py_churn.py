"""Documents are parsed, changed and written."""

import json

from corpus_start import Setup


def order(setup, lines):
    numbers = [{"article": f"a{setup.random.randrange(9999)}", "count": line} for line in range(lines)]
    return json.dumps({"order": setup.random.randrange(10**9), "lines": numbers})


def answer(text):
    document = json.loads(text)
    document["total"] = sum(line["count"] for line in document["lines"])
    return json.dumps(document)


def main():
    setup = Setup(leaks=False)
    lines = int(setup.log_uniform("lines", 3, 200))
    per_s = setup.log_uniform("lines_per_s", 500, 10000) / lines
    setup.announce()
    while True:
        setup.wait(per_s)
        answer(order(setup, lines))


main()
