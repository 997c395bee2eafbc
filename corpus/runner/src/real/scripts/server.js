// A small service: so many items, read and written as JSON.
const http = require('http');
const ITEMS = 100;
const items = new Map();

function answer(response, status, value) {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': body.length });
  response.end(body);
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const key = Number(url.pathname.split('/').pop()) % ITEMS;
  if (request.method !== 'POST') {
    const item = items.get(key) ?? null;
    return answer(response, 200, { key, item, words: `item ${key} of ${items.size}`.split(' ') });
  }
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    items.set(key, JSON.parse(Buffer.concat(parts).toString()));
    answer(response, 200, { key });
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
