"""A service as people write it: answers requests, and keeps a dict of each in a list that nobody empties."""

import json
import sys

SEEN = []


def parse(line):
    return json.loads(line)


def remember(request):
    SEEN.append({"id": request["id"], "user": "user-%d" % request["id"], "tags": ["a" * 20, "b" * 30]})


def answer(line):
    request = parse(line)
    remember(request)
    return '{"id": %d, "ok": true}' % request["id"]


def main(requests):
    for number in range(requests):
        answer('{"id": %d, "body": "%s"}' % (number, "x" * 500))
    print(len(SEEN))


main(int(sys.argv[1]))
