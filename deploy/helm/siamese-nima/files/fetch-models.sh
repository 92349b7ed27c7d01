# Brings a model repository: MODELS_URL, checked against MODELS_SHA256, into the folder MODELS_FOLDER.
set -euo pipefail

archive=$(mktemp)
trap 'rm -f "$archive"' EXIT
url=$MODELS_URL
signature=
if [[ $url == s3://* ]]; then
    : "${AWS_REGION:?is not set: put it into modelRepository.archive.existingSecret}"
    url=${AWS_ENDPOINT_URL:-https://s3.$AWS_REGION.amazonaws.com}/${url#s3://}
    # Not on the command line, which other processes see.
    signature=$(printf 'aws-sigv4 = "aws:amz:%s:s3"\nuser = "%s:%s"\n' \
        "$AWS_REGION" "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY")
    if [[ -n ${AWS_SESSION_TOKEN:-} ]]; then
        signature+=$(printf '\nheader = "x-amz-security-token: %s"' "$AWS_SESSION_TOKEN")
    fi
fi
curl --config - --fail --silent --show-error --location --retry 5 --output "$archive" "$url" \
    <<<"$signature"
sha256sum --check --quiet <<<"$MODELS_SHA256  $archive"
tar --extract --no-same-owner --file "$archive" --directory "$MODELS_FOLDER"
