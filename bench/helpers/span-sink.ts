import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serveRequests } from '../harness/helper.js';

/*
 * A collector of spans that takes everything and keeps nothing, in a process of its own.
 */

const sink = createServer((request, response) => {
  request.resume();
  request.on('end', () => response.writeHead(200).end());
});

serveRequests(
  () =>
    new Promise<string>((resolve) => {
      sink.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${(sink.address() as AddressInfo).port}`));
    }),
);
