// Parses a JSON document of 3,000 objects, changes the objects and writes it again, into a string and into a
// buffer as for a socket: work.js TIMES. CPU time is that of all threads of the process.
"use strict";

const OBJECTS = 3000;
const WARM_UP = 5;

function documentOf(objects) {
  return Array.from({ length: objects }, (_, number) => ({
    id: number,
    name: `customer ${((number * 7919) % 100003).toString(16)}`,
    active: number % 2 === 0,
    score: (number % 1000) + 0.25,
    tags: [`alpha-${number}`, `beta-${number % 97}`, "gamma"],
    address: { street: `${(number * 31).toString(16)} Street`, city: `Town ${number % 113}` },
    history: [{ at: number, what: "created" }, { at: number + 1, what: 'changed "a"' }],
  }));
}

function work(text, times) {
  let checksum = 0;
  for (let time = 0; time < times; time++) {
    const byCity = new Map();
    const objects = JSON.parse(text);
    for (const object of objects) {
      object.history.push({ at: object.id + time, what: "seen" });
      const city = object.address.city;
      byCity.set(city, [...(byCity.get(city) ?? []), object.name]);
    }
    const written = Buffer.from(JSON.stringify({ objects, cities: Object.fromEntries(byCity) }));
    checksum = (checksum * 31 + written.length + written[written.length >> 1]) % 0x7fffffff;
  }
  return checksum;
}

const cpuNs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
};

const pageFaults = () => process.resourceUsage().minorPageFault;

const text = JSON.stringify(documentOf(OBJECTS));
work(text, WARM_UP);
const faultsBegun = pageFaults();
const begun = cpuNs();
const checksum = work(text, Number(process.argv[2]));
const ended = cpuNs();
const faults = pageFaults() - faultsBegun;
console.log(`${text.length} characters of JSON`);
console.log(`plimsoll-bench checksum=${checksum}`);
console.log(`plimsoll-bench cpu_ns=${ended - begun}`);
console.log(`plimsoll-bench process_cpu_ns=${ended}`);
console.log(`plimsoll-bench page_faults=${faults}`);
