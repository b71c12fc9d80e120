import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

/*
 * How page.jpg was made: a sheet on a table, photographed a little askew in warm light, with grain; its last line is upside down.
 * node --import tsx examples/page/draw-page.ts
 */

const LINES = [
  'Delivery note No. 20417',
  'Sponge Logistics, Harbour Road 8',
  '12 boxes of sea salt',
  '3 crates of oranges',
  'Total weight 184 kg',
  'Sign here: J. Marlow',
];
const [WIDTH, HEIGHT] = [800, 600];

const text = LINES.map(
  (line, index) =>
    `<text x="110" y="${130 + 58 * index}" font-size="${index === 0 ? 40 : 30}">${line.replaceAll(' ', '\u00a0\u00a0')}</text>`,
).join('');
const page = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}">
  <defs><radialGradient id="light" cx="35%" cy="25%"><stop offset="0" stop-color="#fffdf4"/><stop offset="1" stop-color="#d8cdb6"/></radialGradient></defs>
  <rect width="100%" height="100%" fill="#6d5a48"/>
  <g transform="rotate(-2.5 ${WIDTH / 2} ${HEIGHT / 2})" font-family="DejaVu Sans" fill="#2b2a33">
    <rect x="60" y="40" width="680" height="520" fill="url(#light)"/>
    ${text}
    <g transform="rotate(180 400 505)"><text x="190" y="515" font-size="28">Return\u00a0\u00a0to\u00a0\u00a0warehouse\u00a0\u00a07</text></g>
  </g>
</svg>`;

const noise = await sharp({
  create: {
    width: WIDTH,
    height: HEIGHT,
    channels: 3,
    background: '#808080',
    noise: { type: 'gaussian', mean: 128, sigma: 14 },
  },
})
  .png()
  .toBuffer();
const photograph = await sharp(Buffer.from(page))
  .flatten()
  .blur(0.7)
  .composite([{ input: noise, blend: 'soft-light' }])
  .jpeg({ quality: 82 })
  .toBuffer();
writeFileSync(fileURLToPath(new URL('page.jpg', import.meta.url)), photograph);
