"""A service as people write it: answers requests, and keeps a dict of each in a list that nobody empties."""

import hashlib
import sys

SEEN = []


def parse(line):
    number, _, body = line.partition(" ")
    return int(number), body.upper()


def remember(number, body):
    SEEN.append({"id": number, "user": "user-%d" % number, "digest": hashlib.md5(body.encode()).hexdigest()})


def answer(line):
    number, body = parse(line)
    remember(number, body)
    return "%d: %d bytes" % (number, len(body))


def main(requests):
    for number in range(requests):
        answer("%d %s" % (number, "x" * 500))
    print(len(SEEN))


main(int(sys.argv[1]))
