// Scores photos over HTTP with what Node.js brings:
//
//   node examples/score.mjs http://localhost:8000 a.jpg b.jpg
import { readFile } from "node:fs/promises";

const [server, ...paths] = process.argv.slice(2);
const MODEL = "nima";

// A request is a JSON header and, behind it, each file with its length in front (4 bytes, little-endian).
function requestBody(files) {
  const parts = files.flatMap((file) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(file.length);
    return [length, file];
  });
  const data = Buffer.concat(parts);
  const header = Buffer.from(
    JSON.stringify({
      inputs: [
        {
          name: "IMAGE",
          datatype: "BYTES",
          shape: [files.length, 1],
          parameters: { binary_data_size: data.length },
        },
      ],
      // Binary, since the numbers of a photo that failed are NaN, which JSON does not have.
      parameters: { binary_data_output: true },
    }),
  );
  return { header, body: Buffer.concat([header, data]) };
}

// The answer is built alike: a JSON header says how many bytes each output has.
function outputs(answer, headerLength) {
  const header = JSON.parse(answer.subarray(0, headerLength).toString());
  const found = {};
  let start = headerLength;
  for (const { name, datatype, parameters } of header.outputs) {
    const end = start + parameters.binary_data_size;
    found[name] = [];
    while (start < end) {
      if (datatype === "FP32") {
        found[name].push(answer.readFloatLE(start));
        start += 4;
      } else {
        const length = answer.readUInt32LE(start);
        found[name].push(answer.subarray(start + 4, start + 4 + length).toString());
        start += 4 + length;
      }
    }
  }
  return found;
}

async function score(files) {
  const { header, body } = requestBody(files);
  const response = await fetch(`${server}/v2/models/${MODEL}/infer`, {
    method: "POST",
    headers: { "Inference-Header-Content-Length": header.length },
    body,
  });
  const answer = Buffer.from(await response.arrayBuffer());
  if (!response.ok) throw new Error(`${response.status}: ${answer}`);
  const { MEAN, STD, ERROR } = outputs(answer, Number(response.headers.get("inference-header-content-length")));
  return files.map((_, i) => (ERROR[i] ? { error: ERROR[i] } : { mean: MEAN[i], std: STD[i] }));
}

const scores = await score(await Promise.all(paths.map((path) => readFile(path))));
paths.forEach((source, i) => console.log(JSON.stringify({ source, ...scores[i] })));
