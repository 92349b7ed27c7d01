#!/usr/bin/env bash
# Scores a photo over HTTP with curl; the answer is JSON:
#
#   examples/score.sh http://localhost:8000 photo.jpg
set -euo pipefail

server=$1 photo=$2 size=$(stat -c %s "$2")
# A JSON header and, behind it, the file with its length in front (4 bytes, little-endian).
header='{"inputs": [{"name": "IMAGE", "datatype": "BYTES", "shape": [1, 1],
    "parameters": {"binary_data_size": '$((size + 4))'}}]}'
length=$(printf '\\%03o' $((size & 255)) $((size >> 8 & 255)) $((size >> 16 & 255)) $((size >> 24)))

{
    printf %s "$header"
    printf "$length"
    cat "$photo"
} | curl -sS -H "Inference-Header-Content-Length: ${#header}" --data-binary @- \
    "$server/v2/models/nima/infer"
