// A chart as a file: the canvas as it is, with a title and the key of its series,
// which on the page are text.
import { font } from './paint';
import { saveBlob } from '../download';

interface Picture {
  title: string;
  note: string;
  keys: { name: string; colour: string }[];
  ink: string;
  faint: string;
  paper: string;
}

export async function savePicture(chart: HTMLCanvasElement, { title, note, keys, ink, faint, paper }: Picture): Promise<void> {
  const scale = chart.width / chart.clientWidth || 1;
  const margin = 20;
  const width = chart.width / scale + 2 * margin;
  const canvas = document.createElement('canvas');
  const ctx = canvas.getContext('2d')!;
  // The key is laid out twice: once to know how many lines it takes.
  const lines = layOut(ctx, keys, width - 2 * margin);
  const top = margin + 24 + lines.length * 20;
  canvas.width = width * scale;
  canvas.height = (top + chart.height / scale + margin) * scale;
  ctx.scale(scale, scale);
  ctx.fillStyle = paper;
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.textBaseline = 'middle';
  ctx.fillStyle = ink;
  ctx.font = font.replace(/^\S+/, '600 15px');
  ctx.fillText(title, margin, margin + 4);
  const end = margin + ctx.measureText(title).width + 12;
  ctx.font = font;
  ctx.fillStyle = faint;
  ctx.fillText(note, end, margin + 5);
  lines.forEach((line, i) => {
    const y = margin + 32 + i * 20;
    for (const { name, colour, x } of line) {
      ctx.fillStyle = colour;
      ctx.fillRect(margin + x, y - 4, 12, 8);
      ctx.fillStyle = ink;
      ctx.fillText(name, margin + x + 18, y);
    }
  });
  ctx.drawImage(chart, margin, top, chart.width / scale, chart.height / scale);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/png'));
  if (!blob) throw new Error('no picture');
  saveBlob(blob, title.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^-+|-+$/g, '').slice(0, 80) + '.png');
}

function layOut(ctx: CanvasRenderingContext2D, keys: Picture['keys'], width: number) {
  ctx.font = font;
  const lines: (Picture['keys'][number] & { x: number })[][] = [[]];
  let x = 0;
  for (const key of keys) {
    const needs = ctx.measureText(key.name).width + 34;
    if (x + needs > width && x > 0) {
      lines.push([]);
      x = 0;
    }
    lines.at(-1)!.push({ ...key, x });
    x += needs;
  }
  return lines;
}
