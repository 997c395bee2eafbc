"""Parses a JSON document of 3,000 objects and writes it again: work.py TIMES.

CPU time is that of all threads of the process, from before the first to behind the last time.
"""

import json
import resource
import sys
import time
import zlib

OBJECTS = 3000
WARM_UP = 2


def document():
    return [
        {
            "id": number,
            "name": f"customer {number * 7919 % 100_003:x}",
            "active": number % 2 == 0,
            "score": number % 1000 + 0.25,
            "tags": [f"alpha-{number}", f"beta-{number % 97}", "gamma"],
            "address": {"street": f"{number * 31:x} Street", "city": f"Town {number % 113}"},
            "history": [{"at": number, "what": "created"}, {"at": number + 1, "what": 'changed "a"'}],
        }
        for number in range(OBJECTS)
    ]


def work(text, times):
    checksum = 0
    for _ in range(times):
        written = json.dumps(json.loads(text))
        checksum = zlib.crc32(written.encode(), checksum)
    return checksum


def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def main():
    text = json.dumps(document())
    work(text, WARM_UP)
    faults = page_faults()
    begun = time.process_time_ns()
    checksum = work(text, int(sys.argv[1]))
    ended = time.process_time_ns()
    faults = page_faults() - faults
    print(f"{len(text)} bytes of JSON")
    print(f"plimsoll-bench checksum={checksum}")
    print(f"plimsoll-bench cpu_ns={ended - begun}")
    print(f"plimsoll-bench process_cpu_ns={ended}")
    print(f"plimsoll-bench page_faults={faults}")


main()
